package replay

// ModelVersion counts the changes of what this module makes of a trace. Reports carry it,
// so that a comparison can tell a changed model from a changed workload, and stored
// results are used again under the same one only. TestModelVersion demands another number
// when the corpora come out otherwise.
const ModelVersion = 6
