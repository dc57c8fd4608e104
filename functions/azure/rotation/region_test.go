package rotation

import (
	"bytes"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
)

// TestARegionThatIsNoneOfMaiasIsReportedWithItsPlace: the vendor's own examples have a region of the cloud there.
func TestARegionThatIsNoneOfMaiasIsReportedWithItsPlace(t *testing.T) {
	for name, test := range map[string]struct {
		settings map[string]string
		reported bool
	}{
		"as it is":           {map[string]string{"MAIA_REGION": ""}, true},
		"with MAIA_REGION":   {map[string]string{"MAIA_REGION": "eu1"}, true},
		"with a URL of Maia": {map[string]string{"MAIA_REGION": "", "MAIA_API_URL": "https://eu1.api.matillion.com/dpc"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			apps := containerapps.New(containerapps.Options{Token: string(accepted)})
			defer apps.Close()
			spec := deputyApp(appID, agentID, "client", "secret")
			env := spec.Containers[0].(map[string]any)["env"].([]any)
			env[1] = map[string]any{"name": "MATILLION_REGION", "value": "eu-west-1"}
			apps.Add(spec)
			var log bytes.Buffer
			settings := map[string]string{"MAIA_CONTAINER_APPS": appID}
			for name, value := range test.settings {
				settings[name] = value
			}
			h := New(with(settings), &log)
			h.WithCredential(accepted, transport(apps))
			azure, err := h.azure()
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = h.open(t.Context(), azure, appID, false, h.log)
			if !test.reported {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, words := range []string{"configuration: ", "MATILLION_REGION in the runner's app", `"eu-west-1"`, "eu1, us1, au1",
				"MAIA_API_URL"} {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("%s is not in %v", words, err)
				}
			}
		})
	}
}
