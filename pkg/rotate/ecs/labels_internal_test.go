package ecs

import (
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
)

// A process that is killed between the label of the confirmation and the removal of the one before leaves both: the pause is confirmed.
func TestAConfirmationCountsWithTheLabelThatItReplaces(t *testing.T) {
	labels := []string{
		"maia-rotate/paused/20260301T120000.000Z/20260301T130000.000Z/0123abcd",
		"maia-rotate/pausing/20260301T120000.000Z/0123abcd",
	}
	for range 2 {
		if note := noteOf(labels, ""); note.Paused == nil || !note.Paused.Confirmed {
			t.Errorf("of %q: %+v", labels, note.Paused)
		}
		labels[0], labels[1] = labels[1], labels[0]
	}
	// Another run's of the same moment is another pause.
	labels = []string{"maia-rotate/paused/20260301T120000.000Z/none/0123abcd", "maia-rotate/pausing/20260301T120000.000Z/4567cdef"}
	if note := noteOf(labels, ""); note.Paused.Confirmed {
		t.Errorf("of %q: %+v", labels, note.Paused)
	}
}

// An UpdateService that is asked for twice is two deployments: its answer is waited for.
func TestUpdateServiceIsWaitedFor(t *testing.T) {
	options := awsecs.Options{HTTPClient: awshttp.NewBuildableClient().WithTimeout(1)}
	patient(&options)
	if got := options.HTTPClient.(*awshttp.BuildableClient).GetTimeout(); got != updateTimeout {
		t.Errorf("its answer is waited for %s", got)
	}
}
