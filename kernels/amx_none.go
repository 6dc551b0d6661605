//go:build !amd64 || purego

package kernels

// tileJob is for processors with tiles of integers.
type tileJob struct{}

func (*Rows) newJob() tileJob { return tileJob{} }

func (x *Rows) newSpare() []float32 { return aligned[float32](x.shape.rows * x.shape.panel) }

func (*Rows) actsOnTiles(*Matrix, *Rows, int, int) int { return 0 }

func (*Rows) gatedOnTiles(_, _ *Matrix, _ *Rows, _, _ int) int { return 0 }

func (*Matrix) logProbsOnTiles([]float32, *Rows, []int32, int) bool { return false }

func (*Matrix) mulOnTiles([]float32, int, *Rows, int, bool) int { return 0 }
