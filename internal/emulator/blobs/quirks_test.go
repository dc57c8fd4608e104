package blobs_test

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
)

func TestEveryQuirkHasAName(t *testing.T) {
	names := map[string]bool{}
	for _, q := range blobs.Quirks() {
		if q.Name == "" || q.Behaviour == "" || q.Source == "" || names[q.Name] {
			t.Errorf("%+v", q)
		}
		names[q.Name] = true
	}
	if err := blobs.New("token").Play("blobs-throttled", "nobody's"); err == nil {
		t.Error("a quirk that is not known is played")
	}
}

// play is a test of a blob whose account plays a quirk.
func play(t *testing.T, name string, test func(r *rig)) {
	t.Run(name, func(t *testing.T) {
		inRig(t, func(r *rig) {
			r.mustPut("a", "")
			if err := r.server.Play(name); err != nil {
				r.t.Fatal(err)
			}
			test(r)
		})
	})
}

func TestQuirks(t *testing.T) {
	play(t, "blobs-dead-holder", func(r *rig) {
		id := "00000000-0000-0000-0000-000000000001"
		client, err := lease.NewBlobClient(r.blob, &lease.BlobClientOptions{LeaseID: &id})
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := client.AcquireLease(r.t.Context(), 45, nil); err == nil {
			r.t.Error("the lease is free")
		}
		time.Sleep(40 * time.Second)
		if _, err := client.AcquireLease(r.t.Context(), 45, nil); err != nil {
			r.t.Error(err)
		}
	})
	for name, refused := range map[string]int{"blobs-throttled": 4, "blobs-lost-answers": 2} {
		play(t, name, func(r *rig) {
			failed := 0
			for range 20 {
				if _, err := r.blob.DownloadStream(r.t.Context(), nil); err != nil {
					failed++
				}
			}
			if failed != refused {
				r.t.Errorf("%d of 20 reads failed, want %d", failed, refused)
			}
		})
	}
	play(t, "blobs-slow-answers", func(r *rig) {
		began := time.Now()
		for range 9 {
			if _, err := r.blob.DownloadStream(r.t.Context(), nil); err != nil {
				r.t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 6*time.Second {
			r.t.Errorf("9 reads took %s", took)
		}
	})
}
