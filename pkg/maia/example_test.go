package maia_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// Refresh the credentials of a runner, and find out what became of them if no answer came.
func Example() {
	fake := maiatest.New(maiatest.WithAPICredential("api-client", "api-client-secret"))
	defer fake.Close()
	const id = "0f8fad5b-d9cb-469f-a165-70867728950e"
	fake.AddAgent(maiatest.AgentSpec{ID: id, ClientID: "runner", Secret: "the-first-secret"})
	fake.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Kind: maiatest.DropAfter})

	client, err := maia.New(maia.Config{
		Region:       "eu1",
		ClientID:     "api-client",
		ClientSecret: maia.NewSecret("api-client-secret"),
		HTTPClient:   &http.Client{Transport: fake.Transport()}, // leave it out to call Maia
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	credentials, err := client.RefreshCredentials(ctx, id)
	if errors.Is(err, maia.ErrOutcomeUnknown) {
		fmt.Println("no answer: reading instead of repeating")
		credentials, err = client.Credentials(ctx, id)
	}
	fmt.Println(credentials, err)
	fmt.Println("changed:", !credentials.ClientSecret.Equal(maia.NewSecret("the-first-secret")))
	// Output:
	// no answer: reading instead of repeating
	// {runner [redacted]} <nil>
	// changed: true
}
