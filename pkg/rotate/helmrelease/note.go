package helmrelease

import (
	"encoding/json"
	"maps"
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The annotations of the Lease.
const (
	noteAnnotation      = "maia-rotate/note"          // JSON
	revisionAnnotation  = "maia-rotate/helm-revision" // that our last upgrade was about to make
	deliveredAnnotation = "maia-rotate/delivered"     // fingerprint of what was put into the Secret and the release does not record
)

var ourAnnotations = []string{noteAnnotation, revisionAnnotation, deliveredAnnotation}

// ours are the annotations of the Lease that are ours.
func ours(lease *coordinationv1.Lease) map[string]string {
	annotations := map[string]string{}
	for _, key := range ourAnnotations {
		if value, ok := lease.Annotations[key]; ok {
			annotations[key] = value
		}
	}
	return annotations
}

func setOurs(lease *coordinationv1.Lease, annotations map[string]string) {
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	for _, key := range ourAnnotations {
		delete(lease.Annotations, key)
	}
	maps.Copy(lease.Annotations, annotations)
}

// note is what the Lease holds, as last seen.
func (l *lock) note() (rotate.Note, error) {
	defer l.lease.Use()()
	text, ok := l.seen.Annotations[noteAnnotation]
	if !ok {
		return rotate.Note{}, nil
	}
	note, err := rotate.ParseNote([]byte(text))
	if err != nil {
		return rotate.Note{}, rotate.Errorf(rotate.Configuration, "the annotation %s of Lease %s cannot be read: %w", noteAnnotation,
			l.name, err).
			WithHint("find out who has changed it; if the runner is connected and its release holds what Maia does, remove the annotation")
	}
	return note, nil
}

// revision is that of our last upgrade; 0 if there was none, or the annotation is not one of ours.
func (l *lock) revision() int {
	defer l.lease.Use()()
	revision, err := strconv.Atoi(l.seen.Annotations[revisionAnnotation])
	if err != nil || revision < 0 {
		return 0
	}
	return revision
}

// delivered is the fingerprint of what we have put into the Secret, and the release does not record; empty if there is nothing.
func (l *lock) delivered() maia.Fingerprint {
	defer l.lease.Use()()
	return maia.Fingerprint(l.seen.Annotations[deliveredAnnotation])
}

func writeDelivered(value maia.Fingerprint) func(map[string]string) {
	return func(annotations map[string]string) { annotations[deliveredAnnotation] = string(value) }
}

func writeNote(note rotate.Note) func(map[string]string) {
	return func(annotations map[string]string) {
		text, _ := json.Marshal(note) // strings and times only
		annotations[noteAnnotation] = string(text)
	}
}

func writeRevision(revision int) func(map[string]string) {
	return func(annotations map[string]string) { annotations[revisionAnnotation] = strconv.Itoa(revision) }
}

// free reports whether no other run is at work, as last read.
func (l *lock) free() bool {
	defer l.lease.Use()()
	return l.lease.Free()
}
