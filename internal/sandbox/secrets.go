package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Secrets are all that there ever were, to find them where none must be. The zero Secrets is ready for use.
type Secrets struct {
	mu    sync.Mutex
	known map[string]string // secret → what it is
}

// Learn remembers one.
func (s *Secrets) Learn(secret, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]string{}
	}
	s.known[secret] = what
}

// Known are the secrets, and what each is.
func (s *Secrets) Known() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.known)
}

// Leaks names the secrets that are in one of the places, and the place. They are searched for as they are and in the usual
// encodings.
func (s *Secrets) Leaks(places map[string][]byte) []string {
	var found []string
	for secret, what := range s.Known() {
		for place, text := range places {
			if contains(text, secret) {
				found = append(found, fmt.Sprintf("%s is in %s", what, place))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// contains searches for the secret as it is, in hexadecimal, and in base64 at each of its three alignments.
func contains(text []byte, secret string) bool {
	forms := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for shift := range 3 {
		// The characters at the ends also depend on the bytes before and after.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("-", shift) + secret))
		forms = append(forms, encoded[4:len(encoded)-4])
	}
	return slices.ContainsFunc(forms, func(form string) bool { return bytes.Contains(text, []byte(form)) })
}
