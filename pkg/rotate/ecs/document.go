package ecs

import (
	"github.com/tidwall/sjson"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	keyClientSecret = "client_secret"

	maxDocument = 64 << 10 // bytes of a secret's value, a limit of Secrets Manager
)

// Document is the value of a secret: a JSON object with the strings client_id and client_secret, and whatever else its
// owner keeps there. It prints as redacted.
type Document struct {
	maia.Secret // the whole text
	credentials maia.Credentials
}

// ParseDocument checks the text of a secret. The error never holds any of it.
func ParseDocument(text string) (Document, error) {
	credentials, err := maia.ParseDocument([]byte(text))
	if err != nil {
		return Document{}, documentError(err.Error())
	}
	return Document{Secret: maia.NewSecret(text), credentials: credentials}, nil
}

func documentError(what string) error {
	return rotate.Errorf(rotate.Configuration, "the secret's value %s", what).
		WithHint(`store {"client_id":"…","client_secret":"…"} in it`)
}

// Credentials are the client_id and client_secret of the document.
func (d Document) Credentials() maia.Credentials { return d.credentials }

// with is the document with another client_secret; every other byte stays.
func (d Document) with(secret maia.Secret) (Document, error) {
	text, err := sjson.Set(d.Reveal(), keyClientSecret, secret.Reveal())
	if err != nil {
		return Document{}, rotate.Errorf(rotate.Internal, "the secret's value cannot be edited")
	}
	if len(text) > maxDocument {
		return Document{}, documentError("would be longer than 64 KiB with the new client_secret")
	}
	return ParseDocument(text)
}
