package maia

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that a Secret ever prints.
const redacted = "[redacted]"

// Secret is a value that must not be shown: it prints as "[redacted]" under every verb of fmt, in JSON, as text and in slog. Reveal is
// the one way to the value. The zero Secret means that there is none; it prints alike.
//
// The value lives in a closure, because a formatting method does not help where fmt or a dumper walks the unexported fields of a
// surrounding struct by reflection: all that they find here is the address of a function.
type Secret struct{ reveal func() string }

// NewSecret wraps value. NewSecret("") is the zero Secret.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return value }}
}

// Reveal returns the value in clear, "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal compares two secrets in a time that depends on their lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Fingerprint is a short mark of a secret for logs and notes: 12 lower-case hex digits of a SHA-256 over the value, under a prefix of
// its own so that it equals no other digest of the value. It is "" for the zero Secret. Two secrets with one fingerprint are taken to be
// the same; the value cannot be had back from it as long as it was random, which Maia's are.
type Fingerprint string

// Fingerprint returns the mark of s.
func (s Secret) Fingerprint() Fingerprint {
	if s.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte("maia-rotate secret fingerprint v1\x00" + s.Reveal()))
	return Fingerprint(hex.EncodeToString(sum[:6]))
}

// Format implements fmt.Formatter: "[redacted]" whatever the verb and the flags.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (s Secret) GoString() string { return redacted }

// MarshalJSON returns "[redacted]" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// errSecretNotString carries nothing of what was found instead.
var errSecretNotString = errors.New("maia: a secret must be a JSON string")

// UnmarshalJSON takes a JSON string, so that a reply decodes straight into a Secret. Anything else, null included, is an error.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var value string
	if !bytes.HasPrefix(data, []byte(`"`)) || json.Unmarshal(data, &value) != nil {
		return errSecretNotString
	}
	*s = NewSecret(value)
	return nil
}
