package rotation

import (
	"io"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
)

// TestARegionThatIsNoneOfMaiasIsReportedWithItsPlace: the vendor's own examples have a region of the cloud there.
func TestARegionThatIsNoneOfMaiasIsReportedWithItsPlace(t *testing.T) {
	apps := containerapps.New(containerapps.Options{Token: string(accepted)})
	defer apps.Close()
	spec := deputyApp(appID, agentID, "client", "secret")
	spec.Containers[0].(map[string]any)["env"].([]any)[1] = map[string]any{"name": "MATILLION_REGION", "value": "eu-west-1"}
	apps.Add(spec)
	h := New(with(map[string]string{"MAIA_CONTAINER_APPS": appID, "MAIA_REGION": ""}), io.Discard)
	h.WithCredential(accepted, transport(apps))
	_, said := answered(t, h, post(good))
	for _, words := range []string{"configuration: ", `MATILLION_REGION in the runner's app is "eu-west-1"`, "MAIA_API_URL"} {
		if !strings.Contains(said, words) {
			t.Errorf("%s is not in %s", words, said)
		}
	}
}
