// Package pack builds the functions and packs them as their clouds take them.
//
//	archive, err := pack.AWS(ctx, "function.zip")   // a program; archive.SHA256 is what Lambda shows as CodeSha256
//	archive, err := pack.Azure(ctx, "function.zip") // a program with what makes an app of it
//	archive, err := pack.GCP(ctx, "function.zip")   // source, which Google Cloud builds
//
// The same source (and, for a program, the same Go) makes the same bytes, wherever the checkout is, whenever its files were
// written, and whatever git says of it. It works from anywhere inside a checkout of the module, and needs the go command.
package pack
