// Package pack builds the functions and packs them as their clouds take them.
//
//	archive, err := pack.AWS(ctx, "function.zip")   // archive.SHA256 is what Lambda shows as CodeSha256
//
// The same source and the same Go make the same bytes, wherever the checkout is, whenever its files were written, and
// whatever git says of it. It works from anywhere inside a checkout of the module, and needs the go command.
package pack
