package awsjson

import "github.com/maia-rotate/maia-rotate/internal/emulator/wire"

// Call is one call that reached the service.
type Call = wire.Call

// NewID returns a random UUID (version 4), as AWS names requests and versions.
func NewID() string { return wire.NewID() }
