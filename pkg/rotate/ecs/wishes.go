package ecs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// kindHeld is the kind of the label that holds an operator's hold: maia-rotate/held/SINCE/UNTIL/BY/WHY.
const kindHeld = "held"

// wishesOf reads what operators have asked for from labels. Of two holds the newer counts. A request is none of them: that is
// Secrets Manager's own RotateSecret.
func wishesOf(labels []string) (wishes rotate.Wishes) {
	for _, label := range labels {
		kind, fields := splitLabel(label)
		if kind != kindHeld || len(fields) != 4 {
			continue
		}
		since, err := time.Parse(labelTime, fields[0])
		until, err2 := time.Parse(labelTime, fields[1])
		if err != nil || err2 != nil || wishes.Held != nil && !since.After(wishes.Held.At) {
			continue
		}
		wishes.Held = &rotate.Hold{At: since, Until: until, By: unescape(fields[2]), Why: unescape(fields[3])}
	}
	return wishes
}

// ReadHold reads the hold of a secret; nil if there is none. It may have ended.
func ReadHold(ctx context.Context, api secretsAPI, arn string) (*rotate.Hold, error) {
	s := &secret{api: api, arn: arn, versions: map[string]version{}, moved: map[string]string{}}
	err := s.describe(ctx)
	return wishesOf(s.ours()).Held, err
}

// SaveHold has a secret held, in place of the hold before; nil takes that off. Rotations that run at the time see it. It needs
// the rights secretsmanager:DescribeSecret and UpdateSecretVersionStage.
func SaveHold(ctx context.Context, api secretsAPI, arn string, hold *rotate.Hold) error {
	s := &secret{api: api, arn: arn, versions: map[string]version{}, moved: map[string]string{}}
	if err := s.describe(ctx); err != nil {
		return err
	}
	before := s.ours()
	if hold != nil {
		label := strings.Join([]string{labelPrefix + kindHeld, stamp(hold.At), stamp(hold.Until), escape(hold.By), escape(hold.Why)}, "/")
		anchor, ok := s.labels[awsCurrent]
		switch {
		case len(label) > maxLabel:
			return rotate.Errorf(rotate.Configuration, "the reason is too long for a staging label, by %d characters", len(label)-maxLabel).
				WithHint("give a shorter one")
		case !ok:
			return NoValueError(arn)
		}
		if err := s.move(ctx, label, anchor); err != nil {
			return err
		}
	}
	for _, label := range before {
		if kind, _ := splitLabel(label); kind == kindHeld {
			if err := s.remove(ctx, label); err != nil {
				return err
			}
		}
	}
	return nil
}

// escape writes a text with characters that labels are known to take: which they are is not documented.
func escape(text string) string {
	var escaped strings.Builder
	for _, b := range []byte(text) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '.':
			escaped.WriteByte(b)
		case b == ' ':
			escaped.WriteByte('+')
		default:
			fmt.Fprintf(&escaped, "=%02X", b)
		}
	}
	return escaped.String()
}

// unescape reads it. What is not of its making stays as it is.
func unescape(escaped string) string {
	var text []byte
	for i := 0; i < len(escaped); i++ {
		switch b := escaped[i]; {
		case b == '+':
			text = append(text, ' ')
		case b == '=' && i+2 < len(escaped):
			code, err := strconv.ParseUint(escaped[i+1:i+3], 16, 8)
			if err != nil {
				text = append(text, b)
				continue
			}
			text = append(text, byte(code))
			i += 2
		default:
			text = append(text, b)
		}
	}
	return string(text)
}
