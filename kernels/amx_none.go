//go:build !amd64 || purego

package kernels

// tileWork is for processors with tiles of integers.
type tileWork struct{}

func (*Rows) newTileWork() tileWork { return tileWork{} }

func (*Rows) actsOnTiles(*Matrix, *Rows, int, int) int { return 0 }

func (*Rows) gatedOnTiles(_, _ *Matrix, _ *Rows, _, _ int) int { return 0 }

func (*Matrix) logProbsOnTiles([]float32, *Rows, []int32, int) bool { return false }

func (*Matrix) mulOnTiles([]float32, int, *Rows, int, bool) int { return 0 }
