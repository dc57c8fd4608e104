package maia

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minSecretLength in characters: anything shorter is a placeholder, not a secret of Maia's.
const minSecretLength = 8

// Credentials are what a runner logs in to Maia with: its OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET.
type Credentials struct {
	ClientID     string
	ClientSecret Secret
}

// Equal reports whether both halves are the same.
func (c Credentials) Equal(other Credentials) bool {
	return c.ClientID == other.ClientID && c.ClientSecret.Equal(other.ClientSecret)
}

// Validate checks whether c can be credentials at all, before anyone writes them to a store: a client ID is there, and the secret is
// neither empty nor masked nor shorter than 8 characters, and both are visible ASCII, as those of OAuth are (RFC 6749, appendix A):
// what a mask draws, what was garbled on its way and what cannot be seen is not. The error never contains a value.
func (c Credentials) Validate() error {
	if err := checkVisible("client ID", c.ClientID); err != nil {
		return err
	}
	secret := c.ClientSecret.Reveal()
	switch {
	case secret == "":
		return errors.New("client secret is empty")
	case masked(secret):
		return errors.New("client secret is masked")
	case utf8.RuneCountInString(secret) < minSecretLength:
		return fmt.Errorf("client secret has fewer than %d characters", minSecretLength)
	}
	return checkVisible("client secret", secret)
}

// checkVisible refuses what tokenProblem does, and what is not ASCII.
func checkVisible(name, value string) error {
	if problem := tokenProblem(value); problem != "" {
		return errors.New(name + " " + problem)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII }) {
		return fmt.Errorf("%s contains characters that are not ASCII", name)
	}
	return nil
}

// masked recognises a value that was hidden by whoever sent it: nothing but stars, three stars in a row (a partly shown value), a bullet
// anywhere, or our own mark, which a Secret turns into when a program stores its JSON.
func masked(value string) bool {
	return strings.Trim(value, "*") == "" || strings.Contains(value, "***") || strings.Contains(value, "•") || value == redacted
}

// tokenProblem is why a value is no identifier or secret: it is empty, or contains white space (the line feed at the end of a file above
// all), control characters or broken UTF-8. Empty if it may be one.
func tokenProblem(value string) string {
	switch {
	case value == "":
		return "is empty"
	case !utf8.ValidString(value):
		return "is not valid UTF-8"
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "contains white space or control characters"
	}
	return ""
}
