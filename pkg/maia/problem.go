package maia

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// maxProblemText is how much of a problem's title or detail an Error repeats, in characters.
const maxProblemText = 200

// addProblem copies title and detail of a problem document (RFC 7807) into e. Bodies of other kinds are dropped. The secrets are cut out,
// because some gateways quote what they refuse.
func (e *Error) addProblem(header http.Header, body []byte, secrets ...Secret) {
	if media := mediaType(header); media != "application/problem+json" && media != "application/json" {
		return
	}
	var problem struct{ Title, Detail string }
	if json.Unmarshal(body, &problem) != nil {
		return
	}
	e.Title, e.Detail = cleanText(problem.Title, secrets...), cleanText(problem.Detail, secrets...)
}

// cleanText makes what a server wrote fit for one line of a log: no secret, no control or invisible characters, and not long. The secrets
// are cut out of what will be seen: before, something invisible may be in the middle of one.
func cleanText(text string, secrets ...Secret) string {
	visible := make([]Secret, len(secrets))
	for i, secret := range secrets {
		visible[i] = NewSecret(printable(secret.Reveal()))
	}
	text = Redact(printable(text), visible...)
	if out := []rune(text); len(out) > maxProblemText {
		return string(out[:maxProblemText]) + "…"
	}
	return text
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// mediaType of an answer, in lower case and without parameters; "" if it has none or a malformed one.
func mediaType(header http.Header) string {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// redirectReason names the host of a redirect and nothing else of it: the rest may carry what the request carried.
func redirectReason(header http.Header, secrets ...Secret) string {
	target, err := url.Parse(header.Get("Location"))
	if err != nil || target.Hostname() == "" {
		return "redirects are not followed"
	}
	return "redirects are not followed: target host " + cleanText(target.Hostname(), secrets...)
}
