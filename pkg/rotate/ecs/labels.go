package ecs

import (
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The staging labels of Secrets Manager.
const (
	awsCurrent = "AWSCURRENT"
	awsPending = "AWSPENDING"
)

const (
	labelPrefix = "maia-rotate/"
	labelTime   = "20060102T150405.000Z"
	noTime      = "none"
	labelStands = "stands"
	maxLabels   = 20  // on all versions of a secret
	maxLabel    = 256 // characters
	noteLabels  = 14  // that there may be of ours at once: eight at rest, those that are being replaced, those of a concurrent run, a hold
	// labelNext is on a version that is about to become AWSCURRENT, see [secret.putCurrent].
	labelNext = labelPrefix + "next"
)

// noteOf reads the note from labels. After a crash there may be two of one kind: the newer counts. Of several intents that of the
// run named by own counts, else the newest. Of two pauses of the same second the one that is not confirmed counts, for it may be
// the later one.
func noteOf(labels []string, own string) rotate.Note {
	var note rotate.Note
	var applied, rotated, adopted time.Time
	for _, label := range labels {
		kind, fields := splitLabel(label)
		times := make([]time.Time, len(fields))
		for i, field := range fields {
			times[i], _ = time.Parse(labelTime, field)
		}
		switch {
		case kind == "agent" && len(fields) == 1:
			note.Agent = max(note.Agent, fields[0])
		case kind == "applied" && len(fields) == 2 && !times[1].Before(applied):
			applied = times[1]
			note.Applied = maia.Fingerprint(fields[0])
		case kind == "rotated" && len(fields) == 3 && !times[2].Before(rotated):
			rotated = times[2]
			note.LastRotation = &rotate.Rotation{Over: maia.Fingerprint(fields[0]), New: maia.Fingerprint(fields[1]), At: times[2]}
		case kind == "intent" && len(fields) == 3:
			found := &rotate.Intent{Over: maia.Fingerprint(fields[0]), At: times[1], By: fields[2]}
			if note.Intent == nil || found.By == own || note.Intent.By != own && found.At.After(note.Intent.At) {
				note.Intent = found
			}
		case kind == "pausing" && len(fields) == 2:
			// A process may end before it has removed this label: of one run the confirmation counts.
			if paused := note.Paused; paused == nil || times[0].After(paused.At) || times[0].Equal(paused.At) && paused.By != fields[1] {
				note.Paused = &rotate.OwnPause{At: times[0], By: fields[1]}
			}
		case kind == "paused" && (len(fields) == 3 || len(fields) == 4 && fields[2] == labelStands):
			found := &rotate.OwnPause{At: times[0], By: fields[len(fields)-1], Confirmed: true, Until: times[1], Stands: len(fields) == 4}
			if note.Paused == nil || confirms(found, note.Paused) {
				note.Paused = found
			}
		case kind == "ordered" && len(fields) >= 2 && !times[1].IsZero():
			found := &rotate.Order{For: maia.Fingerprint(fields[0]), At: times[1], IDs: fields[2:]}
			switch {
			case note.Ordered == nil || found.At.After(note.Ordered.At):
				note.Ordered = found
			case found.At.Equal(note.Ordered.At) && found.For == note.Ordered.For: // of more services than one label holds
				note.Ordered.IDs = append(note.Ordered.IDs, found.IDs...)
			}
		case kind == "adopted" && len(fields) == 3 && !times[2].Before(adopted):
			adopted = times[2]
			note.Adopted = &rotate.Adoption{Over: maia.Fingerprint(fields[0]), New: maia.Fingerprint(fields[1]), At: times[2]}
		}
	}
	return note
}

// confirms reports whether a pause that Maia has reported counts more than another noted one: it is newer, or of the same run and
// moment.
func confirms(found, noted *rotate.OwnPause) bool {
	switch {
	case !found.At.Equal(noted.At):
		return found.At.After(noted.At)
	case noted.Confirmed:
		return found.Stands || !noted.Stands
	}
	return found.By == noted.By
}

// labelsOf writes the note as labels. The label of an unchanged fingerprint is kept as it stands among the present ones.
func labelsOf(note rotate.Note, present []string) []string {
	var labels []string
	if note.Agent != "" {
		labels = append(labels, labelPrefix+"agent/"+note.Agent)
	}
	if note.Applied != "" {
		label := labelPrefix + "applied/" + string(note.Applied) + "/"
		if noteOf(present, "").Applied == note.Applied {
			label = newest(present, label)
		} else {
			label += stamp(time.Now())
		}
		labels = append(labels, label)
	}
	if intent := note.Intent; intent != nil {
		labels = append(labels, labelPrefix+"intent/"+string(intent.Over)+"/"+stamp(intent.At)+"/"+intent.By)
	}
	if paused := note.Paused; paused != nil && paused.Confirmed {
		label := labelPrefix + "paused/" + stamp(paused.At) + "/" + stamp(paused.Until) + "/"
		if paused.Stands {
			label += labelStands + "/"
		}
		labels = append(labels, label+paused.By)
	} else if paused != nil {
		labels = append(labels, labelPrefix+"pausing/"+stamp(paused.At)+"/"+paused.By)
	}
	if rotated := note.LastRotation; rotated != nil {
		labels = append(labels, labelPrefix+"rotated/"+string(rotated.Over)+"/"+string(rotated.New)+"/"+stamp(rotated.At))
	}
	if ordered := note.Ordered; ordered != nil {
		labels = append(labels, orderedLabels(*ordered)...)
	}
	if adopted := note.Adopted; adopted != nil {
		labels = append(labels, labelPrefix+"adopted/"+string(adopted.Over)+"/"+string(adopted.New)+"/"+stamp(adopted.At))
	}
	return labels
}

// orderedLabels spread the IDs of a restart over as many labels as they need.
func orderedLabels(order rotate.Order) []string {
	prefix := strings.Join([]string{labelPrefix + "ordered", string(order.For), stamp(order.At)}, "/")
	labels := []string{prefix}
	for _, id := range order.IDs {
		last := len(labels) - 1
		if len(labels[last])+1+len(id) > maxLabel {
			labels, last = append(labels, prefix), last+1
		}
		labels[last] += "/" + id
	}
	return labels
}

// newest is the last of the labels with the prefix: times sort as text.
func newest(labels []string, prefix string) string {
	var last string
	for _, label := range labels {
		if strings.HasPrefix(label, prefix) {
			last = max(last, label)
		}
	}
	return last
}

func splitLabel(label string) (kind string, fields []string) {
	rest, ours := strings.CutPrefix(label, labelPrefix)
	if !ours {
		return "", nil
	}
	parts := strings.Split(rest, "/")
	return parts[0], parts[1:]
}

// isPauseOfAnother reports whether a label notes another pause than the one that counts: another run's, or one that counts when
// this one is removed. A pause that was taken over is the same one.
func isPauseOfAnother(label string, counts *rotate.OwnPause) bool {
	kind, fields := splitLabel(label)
	return (kind == "pausing" || kind == "paused") && len(fields) > 0 && counts != nil && fields[len(fields)-1] != counts.By &&
		fields[0] != stamp(counts.At)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return noTime
	}
	return t.UTC().Format(labelTime)
}
