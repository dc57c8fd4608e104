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

// Validate tells whether c can be credentials at all, before anyone writes them to a store: a client ID is there, and the secret is
// neither empty nor masked nor shorter than 8 characters, and both are visible ASCII, as those of OAuth are (RFC 6749, appendix A):
// what a mask draws, what was garbled on its way and what cannot be seen is not. The error never contains a value.
func (c Credentials) Validate() error {
	if c.ClientID == "" {
		return errors.New("client ID is empty")
	}
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

// checkVisible is checkToken for what is to be stored.
func checkVisible(name, value string) error {
	if err := checkToken(name, value); err != nil {
		return err
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII }) {
		return fmt.Errorf("%s contains characters that are not ASCII", name)
	}
	return nil
}

// masked tells a value that was hidden by whoever sent it: nothing but stars, three stars in a row (a partly shown value), a bullet
// anywhere, or our own mark, which a Secret turns into when somebody stores its JSON.
func masked(value string) bool {
	return strings.Trim(value, "*") == "" || strings.Contains(value, "***") || strings.Contains(value, "•") || value == redacted
}

// checkToken refuses what no identifier or secret contains: white space (the line feed at the end of a file above all), control
// characters and broken UTF-8.
func checkToken(name, value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("%s is not valid UTF-8", name)
	}
	for _, r := range value {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return fmt.Errorf("%s contains white space or control characters", name)
		}
	}
	return nil
}
