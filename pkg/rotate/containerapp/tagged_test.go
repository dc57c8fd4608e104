package containerapp_test

import (
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

// bare is an app that is nothing but tagged.
func bare(id string, tags map[string]string) containerapps.Spec {
	return containerapps.Spec{ID: id, Location: "westeurope", Tags: tags}
}

func TestTagged(t *testing.T) {
	group := strings.TrimSuffix(resourceApps, "/providers/Microsoft.App/containerApps/")
	inWorld(t, nil, func(w *world) {
		for i, tags := range []map[string]string{
			{"maia-rotate": "enabled"}, {"Maia-Rotate": "enabled", "x": "y"},
			{"maia-rotate": "Enabled"}, {"maia-rotate": ""}, {"x": "enabled"}, nil, {"maia-rotate": "enabled"},
		} {
			w.apps.Add(bare(resourceApps+string(rune('a'+i)), tags))
		}
		w.apps.Add(bare(strings.Replace(resourceApps, "/runners/", "/runners-2/", 1)+"z", map[string]string{"maia-rotate": "enabled"}))
		found, err := containerapp.Tagged(w.t.Context(), w.config(), group)
		if err != nil || strings.Join(found, " ") != resourceApps+"a "+resourceApps+"b "+resourceApps+"g" {
			t.Errorf("%v, %v", found, err)
		}
		if n := w.calls("list"); n != 3 {
			t.Errorf("%d pages, want 3", n)
		}
		if found, err := containerapp.Tagged(w.t.Context(), w.config(), strings.ToUpper(group)); err != nil || len(found) != 3 {
			t.Errorf("%v, %v", found, err)
		}
		_, err = containerapp.Tagged(w.t.Context(), w.config(), group+"-3")
		w.mustFail(err, rotate.Configuration, "ResourceGroupNotFound")
		for _, id := range []string{"", "runners", appID, "/subscriptions/s"} {
			_, err = containerapp.Tagged(w.t.Context(), w.config(), id)
			w.mustFail(err, rotate.Configuration, "is not the resource ID of a resource group")
		}
		w.apps.Inject(wire.Fault{Operation: "list", Kind: wire.AccessDenied})
		_, err = containerapp.Tagged(w.t.Context(), w.config(), group)
		w.mustFail(err, rotate.Permission, "allow the function's identity Microsoft.App/containerApps/read in the resource group")
	})
}
