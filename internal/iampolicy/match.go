package iampolicy

import "strings"

// arnParts is how many parts an ARN has between its colons; the last, the resource, may hold colons of its own.
const arnParts = 6

// like reports whether text matches a pattern, in which "*" is any text and "?" one character.
func like(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	star, from := -1, 0 // the last star, and where in t the text after it begins
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(string(p[i:]), "*") == ""
}

// likeARN reports whether an ARN matches a condition's pattern. A wildcard stays
// within its part of the ARN. What is no ARN matches nothing.
func likeARN(pattern, arn string) bool {
	p, a := strings.SplitN(pattern, ":", arnParts), strings.SplitN(arn, ":", arnParts)
	if len(p) != arnParts || len(a) != arnParts {
		return false
	}
	for i := range p {
		if !like(p[i], a[i]) {
			return false
		}
	}
	return true
}

// complete adds the parts that a resource's ARN lacks, as "*".
func complete(pattern string) string {
	if missing := arnParts - 1 - strings.Count(pattern, ":"); pattern != "*" && missing > 0 {
		pattern += strings.Repeat(":*", missing)
	}
	return pattern
}
