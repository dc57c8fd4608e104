package pack

import (
	"archive/zip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Archive is a function that is packed for its cloud.
type Archive struct {
	Path   string
	Size   int64 // bytes
	SHA256 [sha256.Size]byte
}

// Hex is the SHA-256 as sha256sum prints it.
func (a Archive) Hex() string { return hex.EncodeToString(a.SHA256[:]) }

// CodeSHA256 is the SHA-256 as Lambda shows it: the CodeSha256 of a function's configuration.
func (a Archive) CodeSHA256() string { return base64.StdEncoding.EncodeToString(a.SHA256[:]) }

// AWS builds the function for linux/arm64 and writes the zip file that Lambda takes, with the runtime provided.al2023: one
// file, bootstrap. A file that is there already is replaced, in one step, when all is done.
func AWS(ctx context.Context, path string) (Archive, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return Archive{}, fmt.Errorf("pack: %s is a directory, expected the name of a zip file", path)
	}
	// Said before the build, which takes a while.
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "bootstrap")
	if err := Build(ctx, binary, "linux", "arm64"); err != nil {
		return Archive{}, err
	}
	return Zip(path, binary)
}

// Zip packs a compiled bootstrap as [AWS] does.
func Zip(path, binary string) (archive Archive, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("pack: %w", err)
		}
	}()
	content, err := os.Open(binary)
	if err != nil {
		return Archive{}, err
	}
	defer content.Close()
	// Beside the target, so that a rename is all that is left to do.
	partial, err := os.OpenFile(path+"."+rand.Text()+".partial", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return Archive{}, err
	}
	defer os.Remove(partial.Name()) // there is none after the rename
	defer partial.Close()
	digest := sha256.New()
	if err := writeZip(io.MultiWriter(partial, digest), content); err != nil {
		return Archive{}, err
	}
	info, err := partial.Stat()
	if err != nil {
		return Archive{}, err
	}
	if err := partial.Close(); err != nil {
		return Archive{}, err
	}
	if err := os.Rename(partial.Name(), path); err != nil {
		return Archive{}, err
	}
	return Archive{Path: path, Size: info.Size(), SHA256: [sha256.Size]byte(digest.Sum(nil))}, nil
}

// epoch is the time of all files in an archive: that of their build would make other bytes of the same source.
var epoch = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

func writeZip(out io.Writer, bootstrap io.Reader) error {
	archive := zip.NewWriter(out)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: epoch}
	header.SetMode(0o755)
	file, err := archive.CreateHeader(header)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, bootstrap); err != nil {
		return err
	}
	return archive.Close()
}
