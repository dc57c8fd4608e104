package pack

import (
	"archive/zip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
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

// entry is a file of an archive.
type entry struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// checkTarget is called before the work, which takes a while.
func checkTarget(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, expected the name of a zip file", path)
	}
	_, err := os.Stat(filepath.Dir(path))
	return err
}

// write makes the zip file. One that is there already is replaced, in one step, when all is done.
func write(path string, entries []entry) (Archive, error) {
	// Next to the target, so that a rename is all that is left to do.
	partial, err := os.OpenFile(path+"."+rand.Text()+".partial", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return Archive{}, err
	}
	defer os.Remove(partial.Name()) // there is none after the rename
	defer partial.Close()
	digest := sha256.New()
	if err := writeZip(io.MultiWriter(partial, digest), entries); err != nil {
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

// epoch is the time of all files in an archive: with the time of their build, the same source would make different bytes.
var epoch = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

func writeZip(out io.Writer, entries []entry) error {
	archive := zip.NewWriter(out)
	for _, entry := range entries {
		header := &zip.FileHeader{Name: entry.name, Method: zip.Deflate, Modified: epoch}
		header.SetMode(entry.mode)
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(entry.content); err != nil {
			return err
		}
	}
	return archive.Close()
}
