package maia

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// leastPart is how many characters of a base64 text must be a secret's alone to be searched for in the middle of a longer one.
const leastPart = 8

// Redact replaces the secrets in a text that another program wrote (a service, a library, a template), wherever they stand in one of these
// forms: as they are, escaped for JSON or a Go string, once or twice, escaped for a URL, in base64, alone or in the middle of something
// longer. It knows no secrets but those it is given, and finds no parts of one: a text that may hold others is not to be passed on.
func Redact(text string, secrets ...Secret) string {
	var forms []string
	for _, secret := range secrets {
		if value := secret.Reveal(); value != "" {
			forms = append(forms, formsOf(value)...)
		}
	}
	// One form may begin with another.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, form := range slices.Compact(forms) {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
}

// formsOf lists how a value may be written.
func formsOf(value string) []string {
	forms := []string{value}
	for range 2 {
		for _, form := range slices.Clone(forms) {
			forms = append(forms, inJSON(form, true), inJSON(form, false), inGo(form), strings.ReplaceAll(form, "/", `\/`))
		}
	}
	for _, escaped := range []string{url.QueryEscape(value), url.PathEscape(value)} {
		forms = append(forms, escaped, lowerEscapes(escaped))
	}
	return append(forms, inBase64(value)...)
}

// inJSON is what stands between the quotes of a JSON string. Whether <, > and & are escaped depends on the encoder.
func inJSON(value string, html bool) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(html)
	if encoder.Encode(value) != nil {
		return value
	}
	quoted := strings.TrimSuffix(out.String(), "\n")
	return quoted[1 : len(quoted)-1]
}

// inGo is what stands between the quotes that the verb %q writes.
func inGo(value string) string {
	quoted := strconv.Quote(value)
	return quoted[1 : len(quoted)-1]
}

// lowerEscapes writes the hexadecimal digits of a URL's escapes in lower case.
func lowerEscapes(escaped string) string {
	parts := strings.Split(escaped, "%")
	for i, part := range parts[1:] {
		parts[i+1] = strings.ToLower(part[:2]) + part[2:]
	}
	return strings.Join(parts, "%")
}

// inBase64 is a value's encoding, and, for a value that stands in the middle of a longer one, the characters that depend on it alone: there
// are three ways to come to stand, by the bytes before it.
func inBase64(value string) []string {
	forms := []string{base64.RawStdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value))}
	for before := range 3 {
		whole := strings.Repeat("\x00", before) + value
		first, last := (before*8+5)/6, len(whole)*8/6
		if last-first < leastPart {
			continue
		}
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, encoding.EncodeToString([]byte(whole))[first:last])
		}
	}
	return forms
}
