package scoring

import (
	"fmt"
	"math"
)

// Feature is one named signal of a segment's relevance. Each is bounded, so that no single text can make it outweigh all
// others, and rounded to 1e-4 before it is used, so that the last bits of float sums hardly ever change a selection. What
// a feature was worth is what `pith eval features --leave-out` shows; where its idea is from stands beside it.
type Feature uint8

// The features. "Of the best" means divided by the largest value in the call, 0 where that is 0; a "rank" is 1/place, ties
// in the segments' order; a text is what the segments were cut from.
const (
	// Words in common: Okapi BM25 (Robertson and Zaragoza 2009) over identifiers and their parts.
	FeatureBM25         Feature = iota // of the best
	FeatureBM25Rank                    // rank
	FeatureCoverage                    // share of the query's words that the segment holds, by their idf
	FeatureTextBM25                    // BM25 of whole texts, of the best
	FeatureTextPeak                    // BM25 of the text's best segment, of the best
	FeatureNameInQuery                 // share of the words of the segment's name that the query holds
	FeaturePathInQuery                 // the same of the text's name
	FeatureQueryInName                 // share of the query's words, by idf, that both names hold
	FeatureGrams                       // BM25 of runs of four letters (McNamee and Mayfield 2004), of the best: words in other forms
	FeatureHeadlineBM25                // BM25 for the first line of a query of several, of the best
	FeatureBestLine                    // FeatureCoverage of the best line or sentence alone

	// Exact mentions: what a query spells as code does (identifiers, paths, numbers, quoted strings, error names). The
	// best lexical cue for bug localisation (Zhou, Zhang and Lo 2012, "Where Should the Bugs Be Fixed?", and after).
	FeatureMentions      // share of the mentions that the segment holds, each weighed by its rarity
	FeatureNameMentioned // the segment's own symbol is one of them
	FeatureTextMentioned // the text's path or base name is one of them

	// Compression: how much shorter the query gets after the segment (ZIP-FIT, Obbad et al. 2024; the cross parsing of Ziv
	// and Merhav 1993 in place of a compressor: see crossParsing).
	FeatureCompression

	// Vectors of the encoder, one set a segment whatever the query. Of code it reads the likeliest segments alone; the others
	// get the middle of what it read.
	FeatureCosine         // of the texts' vectors (Reimers and Gurevych 2019)
	FeatureCosineRank     // rank
	FeatureCosineGap      // less the best
	FeatureLate           // mean over the query's tokens of the best match among the segment's (ColBERT, Khattab and Zaharia 2020)
	FeatureLateRank       // rank
	FeatureLateGap        // less the best
	FeatureLateContrast   // mean over the query's tokens of what their best match exceeds the mean over the segments
	FeatureWindow         // largest cosine of the mean of some neighbouring tokens (late chunking, Günther et al. 2024) to that of the query's
	FeatureWindowGap      // less the best
	FeatureTextCosine     // the largest cosine in the text
	FeatureNearby         // mean cosine of the segments before and after in the text
	FeatureHeadline       // cosine to the first line of a query of several
	FeatureEcho           // largest cosine to one of the best segments by the cheap sum, itself left out: evidence of a second hop
	FeatureInstructed     // cosine to the query after the encoder's instruction, where it has one
	FeatureInstructedRank // rank
	FeatureInstructedGap  // less the best

	// Structure: what texts say of each other.
	FeatureNamedByBest  // the text's name stands in one of the best segments of other texts
	FeatureNamesBest    // the segment holds the name of the text of one of the best segments
	FeatureDefinesUsed  // it defines a name that one of the best segments uses
	FeatureImported     // its text is imported by the text that the query continues
	FeatureSameFolder   // its text lies in the same folder as that one
	FeatureImportedName // it defines a name that this text imports
	FeatureImportUnused // and does not use yet
	FeatureQueryUses    // it defines a name that the query uses
	FeatureUsers        // log2 of the number of segments that use a name it defines, over 8
	FeatureNewName      // it defines a name that the text that the query continues does not hold yet
	FeatureNameNear     // share of the words of its own name in a line near the cursor, less the further away
	FeatureOwnerNear    // the same of the name of what encloses it, or else of its file
	FeaturePathNear     // share of the words of both paths that its path has in common with that text's
	FeatureCurrent      // it is in the text that the query continues
	FeatureDistance     // how far before the cursor, as a share of that text

	// Place among the others by the cheap sum (see cheapSums).
	FeatureTextPlace  // 1/place of the segment's text among the texts, by their best segments
	FeatureLocalPlace // 1/place of the segment in its text

	// Place and form: priors of the kind, not of the query.
	FeatureTokens   // log2 of its tokens, over 10
	FeaturePosition // where it begins in its text, 0 to 1
	FeatureTextAt   // which text of all, 0 to 1
	FeatureTexts    // log2 of the number of texts, over 6
	FeatureSegments // log2 of the number of segments, over 10
	FeatureShare    // its share of all tokens, square root
	FeatureForm     // the segment's Form, over 10
	FeatureEnclosed // it has an enclosing header
	FeatureLines    // mean length of its lines in bytes, over 100
	FeatureQuerySize
	FeatureQueryCode // the query is code

	// Conditional log-probability of the query's tokens after the segment (LongCodeZip, Shi et al. 2025; LongLLMLingua,
	// Jiang et al. 2023), NaN where the decoder did not read the segment.
	FeatureGain     // mean gain over the query alone, nats, within ±4
	FeatureGainRank // rank among those read
	FeatureGainGap  // less the best
	FeatureClipped  // mean of the gains above 0
	FeatureContrast // mean over tokens of what exceeds the mean over the segments read
	FeatureSurprise // gain weighted by how surprising each token is without a segment
	FeaturePeak     // the largest gain of one token, over 8
	// How certain the decoder is of what comes next: of the answer's first token after a question. It knows better how to go
	// on where the segment holds the answer: entropy as a measure of that is Malinin and Gales's (2021, "Uncertainty
	// Estimation in Autoregressive Structured Prediction").
	FeatureCertainty     // minus the entropy, nats
	FeatureCertaintyRank // rank among those read
	FeatureCertaintyGap  // less the best
	FeatureCertaintyGain // above that without a segment

	// Of pieces of a segment (sentences), beside those of the query and of form. "Gap" is less the best piece
	// of the segment.
	FeaturePieceNeed        // probability of the segment
	FeaturePieceAt          // place among the pieces, 0 to 1
	FeaturePieceFirst       // it is the first
	FeaturePieceCount       // log2 of the number of pieces, over 6
	FeaturePieceTokens      // log2 of its tokens, over 10
	FeaturePieceShare       // share of the segment's bytes
	FeaturePieceCoverage    // share of the query's words, by idf
	FeaturePieceCoverageGap //
	FeaturePieceBM25        // BM25 among all pieces, of the best
	FeaturePieceLate        // late interaction with the tokens of the piece alone
	FeaturePieceLateGap     //
	FeaturePieceCosine      // of the mean of its tokens' vectors with that of the query's
	FeaturePieceCosineGap   //
	FeaturePieceMentions    // share of the exact mentions
	FeaturePieceSaved       // compression
	FeaturePieceBefore      // coverage of the piece before
	FeaturePieceAfter       // and of the one after
	FeaturePieceDigits      // numbers in it, over 4
	FeaturePieceNames       // capitalised words inside it that the query lacks, over 6
	FeatureQueryWants       // what kind of answer the question word asks for: see wants

	featureCount
)

var featureNames = [featureCount]string{
	"bm25", "bm25_rank", "coverage", "text_bm25", "text_peak", "name_in_query", "path_in_query", "query_in_name",
	"grams", "headline_bm25", "best_line",
	"mentions", "name_mentioned", "text_mentioned",
	"compression",
	"cosine", "cosine_rank", "cosine_gap", "late", "late_rank", "late_gap",
	"late_contrast", "window", "window_gap", "text_cosine", "nearby", "headline", "echo",
	"instructed", "instructed_rank", "instructed_gap",
	"named_by_best", "names_best", "defines_used", "imported", "same_folder", "imported_name", "import_unused", "query_uses",
	"users", "new_name", "name_near", "owner_near", "path_near", "current", "distance", "text_place", "local_place",
	"tokens", "position", "text_at", "texts", "segments", "share", "form", "enclosed", "lines", "query_size", "query_code",
	"gain", "gain_rank", "gain_gap", "clipped", "contrast", "surprise", "peak",
	"certainty", "certainty_rank", "certainty_gap", "certainty_gain",
	"piece_need", "piece_at", "piece_first", "piece_count", "piece_tokens", "piece_share", "piece_coverage",
	"piece_coverage_gap", "piece_bm25", "piece_late", "piece_late_gap", "piece_cosine", "piece_cosine_gap",
	"piece_mentions", "piece_saved", "piece_before", "piece_after", "piece_digits", "piece_names", "query_wants",
}

// firstDecoderFeature begins the features that cost decoder tokens, firstPieceFeature those of pieces.
const (
	firstDecoderFeature = FeatureGain
	firstPieceFeature   = FeaturePieceNeed
)

// String returns the feature's name in files and explanations.
func (f Feature) String() string {
	if f < featureCount {
		return featureNames[f]
	}
	return fmt.Sprintf("Feature(%d)", uint8(f))
}

// FeatureNames lists all features in order.
func FeatureNames() []string { return featureNames[:] }

// Rises reports whether more of the feature can only speak for a segment: similarity and evidence, not form and place. A fit
// that keeps to it needs less data.
func (f Feature) Rises() bool {
	switch {
	case f < FeatureSameFolder, f >= FeatureImportedName && f <= FeaturePathNear, f == FeatureTextPlace, f == FeatureLocalPlace:
		return true
	case f >= firstDecoderFeature && f < firstPieceFeature:
		return true
	case f >= FeaturePieceCoverage && f <= FeaturePieceSaved:
		return true
	}
	return f == FeatureSameFolder
}

// The features that a model of a Combination reads, as half-open ranges of the order of FeatureNames.
var (
	// CheapFeatures are those of every segment, FullFeatures those of one that the decoder read.
	CheapFeatures = [2]int{0, int(firstDecoderFeature)}
	FullFeatures  = [2]int{0, int(firstPieceFeature)}
	// PieceFeatures are those of a piece.
	PieceFeatures = [2]int{int(firstPieceFeature), int(featureCount)}
)

// row holds the features of one segment.
type row [featureCount]float32

// set rounds and stores a value.
func (r *row) set(f Feature, v float64) { r[f] = float32(rounded(v)) }

// read reports whether the decoder has read the segment.
func (r *row) read() bool { return !math.IsNaN(float64(r[FeatureGain])) }

// ofTheBest divides values by the largest of them.
func ofTheBest(values []float64) []float64 {
	best := 0.0
	for _, v := range values {
		best = max(best, v)
	}
	out := make([]float64, len(values))
	if best > 0 {
		for i, v := range values {
			out[i] = v / best
		}
	}
	return out
}

// reciprocalRanks returns 1/place of each value among those that are numbers, the largest first, ties in order.
func reciprocalRanks(values []float64) []float64 {
	out := make([]float64, len(values))
	for place, i := range descending(values) {
		if out[i] = math.NaN(); !math.IsNaN(values[i]) {
			out[i] = 1 / float64(place+1)
		}
	}
	return out
}
