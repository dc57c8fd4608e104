package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

// rig is a storage account, with the SDK's clients of one container and one blob.
type rig struct {
	t         *testing.T
	server    *blobs.Server
	container *container.Client
	blob      *blockblob.Client
}

func inRig(t *testing.T, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, server: blobs.New("token")}
		r.connect("state", "token")
		if _, err := r.container.Create(r.t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		test(r)
	})
}

func (r *rig) connect(name, token string) {
	client, err := container.NewClient("https://account.blob.example/"+name, credential(token),
		&container.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: &http.Client{Transport: wire.Transport(r.server)}, Retry: policy.RetryOptions{MaxRetries: -1},
		}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.container, r.blob = client, client.NewBlockBlobClient("a.json")
}

// put writes the blob; the options are those that are not nil.
func (r *rig) put(content string, match, none *azcore.ETag, leaseID string) (etag azcore.ETag, err error) {
	conditions := &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: match, IfNoneMatch: none}}
	if leaseID != "" {
		conditions.LeaseAccessConditions = &blob.LeaseAccessConditions{LeaseID: &leaseID}
	}
	written, err := r.blob.Upload(r.t.Context(), streaming.NopCloser(strings.NewReader(content)), &blockblob.UploadOptions{
		AccessConditions: conditions, HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("application/json")},
	})
	if err != nil {
		return "", err
	}
	return *written.ETag, nil
}

func (r *rig) mustPut(content string, leaseID string) azcore.ETag {
	r.t.Helper()
	etag, err := r.put(content, nil, nil, leaseID)
	if err != nil {
		r.t.Fatal(err)
	}
	return etag
}

func (r *rig) get() (content string, found blob.DownloadStreamResponse) {
	r.t.Helper()
	found, err := r.blob.DownloadStream(r.t.Context(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(found.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text), found
}

const (
	one = "00000000-0000-4000-8000-000000000001"
	two = "00000000-0000-4000-8000-000000000002"
)

func (r *rig) lease(id string) *lease.BlobClient {
	client, err := lease.NewBlobClient(r.blob, &lease.BlobClientOptions{LeaseID: &id})
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

func (r *rig) acquire(id string, seconds int32) error {
	_, err := r.lease(id).AcquireLease(r.t.Context(), seconds, nil)
	return err
}

func (r *rig) renew(id string) error {
	_, err := r.lease(id).RenewLease(r.t.Context(), nil)
	return err
}

func (r *rig) release(id string) error {
	_, err := r.lease(id).ReleaseLease(r.t.Context(), nil)
	return err
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) mustBe(err error, status int, code string) {
	r.t.Helper()
	var failed *azcore.ResponseError
	if !errors.As(err, &failed) {
		r.t.Fatalf("error %v, want %d %s", err, status, code)
	}
	if failed.StatusCode != status || failed.ErrorCode != code {
		r.t.Errorf("%d %s, want %d %s", failed.StatusCode, failed.ErrorCode, status, code)
	}
}

func TestContainers(t *testing.T) {
	inRig(t, func(r *rig) {
		_, err := r.container.Create(r.t.Context(), nil)
		r.mustBe(err, 409, "ContainerAlreadyExists")
		for name, code := range map[string]string{"No-Capitals": "InvalidResourceName", "ab": "InvalidResourceName",
			"two--hyphens": "InvalidResourceName"} {
			r.connect(name, "token")
			_, err := r.container.Create(r.t.Context(), nil)
			r.mustBe(err, 400, code)
		}
		r.connect("missing", "token")
		_, err = r.put("x", nil, nil, "")
		r.mustBe(err, 404, "ContainerNotFound")
		_, err = r.blob.DownloadStream(r.t.Context(), nil)
		r.mustBe(err, 404, "ContainerNotFound")
		r.mustBe(r.acquire(one, 30), 404, "ContainerNotFound")
	})
}

func TestBlobs(t *testing.T) {
	inRig(t, func(r *rig) {
		_, err := r.blob.DownloadStream(r.t.Context(), nil)
		r.mustBe(err, 404, "BlobNotFound")
		r.mustBe(r.acquire(one, 30), 404, "BlobNotFound")
		first := r.mustPut(`{"a":1}`, "")
		content, found := r.get()
		if content != `{"a":1}` || *found.ETag != first || *found.ContentType != "application/json" ||
			*found.LeaseState != lease.StateTypeAvailable || *found.ContentLength != 7 {
			t.Errorf("%q %+v", content, found)
		}
		second := r.mustPut("", "")
		if content, found := r.get(); content != "" || *found.ETag != second || second == first {
			t.Errorf("%q, ETags %s and %s", content, first, second)
		}
		if all := r.server.Blobs("state"); len(all) != 1 || all["a.json"] != "" {
			t.Errorf("%v", all)
		}
		r.server.Put("other", "b", "by another writer")
		r.connect("other", "token")
		r.blob = r.container.NewBlockBlobClient("b")
		if content, _ := r.get(); content != "by another writer" {
			t.Errorf("%q", content)
		}
	})
}

func TestConditions(t *testing.T) {
	inRig(t, func(r *rig) {
		any, wrong := azcore.ETagAny, azcore.ETag(`"0x8D0"`)
		_, err := r.put("x", &any, nil, "")
		r.mustBe(err, 412, "ConditionNotMet")
		etag, err := r.put("1", nil, &any, "")
		r.must(err)
		_, err = r.put("x", nil, &any, "")
		r.mustBe(err, 409, "BlobAlreadyExists")
		_, err = r.put("x", &wrong, nil, "")
		r.mustBe(err, 412, "ConditionNotMet")
		_, err = r.put("x", nil, &etag, "")
		r.mustBe(err, 412, "ConditionNotMet")
		_, err = r.put("2", &etag, nil, "")
		r.must(err)
		_, err = r.put("x", &etag, nil, "")
		r.mustBe(err, 412, "ConditionNotMet")
		_, err = r.put("3", &any, nil, "")
		r.must(err)
		read := func(match *azcore.ETag) error {
			_, err := r.blob.DownloadStream(r.t.Context(), &blob.DownloadStreamOptions{
				AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: match}},
			})
			return err
		}
		_, found := r.get()
		r.mustBe(read(&etag), 412, "ConditionNotMet")
		r.must(read(found.ETag))
		_, err = r.lease(one).AcquireLease(r.t.Context(), 30,
			&lease.BlobAcquireOptions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &etag}})
		r.mustBe(err, 412, "ConditionNotMet")
		if content, _ := r.get(); content != "3" {
			t.Errorf("%q", content)
		}
	})
}

func TestALeasedBlobIsWrittenWithItsLeaseOnly(t *testing.T) {
	inRig(t, func(r *rig) {
		etag := r.mustPut("1", "")
		_, err := r.put("x", nil, nil, one)
		r.mustBe(err, 412, "LeaseNotPresentWithBlobOperation")
		r.must(r.acquire(one, 30))
		_, found := r.get()
		if *found.LeaseState != lease.StateTypeLeased || *found.LeaseStatus != lease.StatusTypeLocked ||
			*found.LeaseDuration != lease.DurationTypeFixed || *found.ETag != etag {
			t.Errorf("%+v", found)
		}
		_, err = r.put("x", nil, nil, "")
		r.mustBe(err, 412, "LeaseIdMissing")
		_, err = r.put("x", nil, nil, two)
		r.mustBe(err, 412, "LeaseIdMismatchWithBlobOperation")
		r.mustPut("2", one)
		r.must(r.acquire(one, 30)) // again, by its own
		r.mustBe(r.acquire(two, 30), 409, "LeaseAlreadyPresent")
		r.mustBe(r.renew(two), 409, "LeaseIdMismatchWithLeaseOperation")
		r.mustBe(r.release(two), 409, "LeaseIdMismatchWithLeaseOperation")
		r.must(r.release(one))
		r.mustBe(r.renew(one), 409, "LeaseNotPresentWithLeaseOperation")
		r.must(r.acquire(two, 30))
	})
}

func TestLeasesEnd(t *testing.T) {
	inRig(t, func(r *rig) {
		r.mustPut("1", "")
		r.must(r.acquire(one, 15))
		time.Sleep(14 * time.Second)
		r.must(r.renew(one))
		time.Sleep(14 * time.Second)
		r.mustBe(r.acquire(two, 15), 409, "LeaseAlreadyPresent")
		time.Sleep(2 * time.Second)
		if _, found := r.get(); *found.LeaseState != lease.StateTypeExpired {
			t.Errorf("state %s", *found.LeaseState)
		}
		_, err := r.put("x", nil, nil, one)
		r.mustBe(err, 412, "LeaseLost")
		r.must(r.renew(one)) // nobody has come meanwhile
		r.mustPut("2", one)
		time.Sleep(16 * time.Second)
		r.mustPut("3", "")
		r.mustBe(r.renew(one), 409, "LeaseNotPresentWithLeaseOperation")
		r.must(r.acquire(one, 15))
		time.Sleep(16 * time.Second)
		r.must(r.acquire(two, 60))
		r.mustBe(r.renew(one), 409, "LeaseIdMismatchWithLeaseOperation")
		_, err = r.put("x", nil, nil, one)
		r.mustBe(err, 412, "LeaseIdMismatchWithBlobOperation")
	})
}

func TestDurationsOfLeases(t *testing.T) {
	inRig(t, func(r *rig) {
		r.mustPut("1", "")
		for _, seconds := range []int32{0, 14, 61, -2} {
			r.mustBe(r.acquire(one, seconds), 400, "InvalidHeaderValue")
		}
		r.mustBe(r.acquire("no-uuid", 30), 400, "InvalidHeaderValue")
		r.must(r.acquire(one, -1))
		time.Sleep(24 * time.Hour)
		if _, found := r.get(); *found.LeaseState != lease.StateTypeLeased || *found.LeaseDuration != lease.DurationTypeInfinite {
			t.Errorf("%s %v", *found.LeaseState, found.LeaseDuration)
		}
		r.mustBe(r.acquire(two, 30), 409, "LeaseAlreadyPresent")
		r.must(r.renew(one))
		r.must(r.release(one))
	})
}

func TestLeasesOfOthers(t *testing.T) {
	inRig(t, func(r *rig) {
		r.mustPut("1", "")
		r.must(r.acquire(one, 60))
		r.server.Break("state", "a.json")
		r.mustBe(r.renew(one), 409, "LeaseIsBrokenAndCannotBeRenewed")
		_, err := r.put("x", nil, nil, one)
		r.mustBe(err, 412, "LeaseLost")
		r.must(r.acquire(two, 15))
		r.must(r.release(two))
		r.server.Lease("state", "a.json", time.Minute)
		r.mustBe(r.acquire(one, 15), 409, "LeaseAlreadyPresent")
		time.Sleep(time.Minute + time.Second)
		r.server.Lease("state", "a.json", 0)
		time.Sleep(time.Hour)
		r.mustBe(r.acquire(one, 15), 409, "LeaseAlreadyPresent")
		r.server.Delete("state")
		r.mustBe(r.acquire(one, 15), 404, "ContainerNotFound")
	})
}

func TestWithoutTheToken(t *testing.T) {
	inRig(t, func(r *rig) {
		r.connect("state", "another")
		_, err := r.put("x", nil, nil, "")
		r.mustBe(err, 401, "InvalidAuthenticationInfo")
		_, err = r.container.Create(r.t.Context(), nil)
		r.mustBe(err, 401, "InvalidAuthenticationInfo")
	})
}

// Requests that the SDK does not send, and what is not emulated.
func TestRequestsThatAreNoneOfTheSDKs(t *testing.T) {
	for name, test := range map[string]struct {
		method, target string
		header         [2]string
		status         int
		code           string
	}{
		"no version":       {http.MethodGet, "/state/a.json", [2]string{"x-ms-version", ""}, 400, "MissingRequiredHeader"},
		"a bad version":    {http.MethodGet, "/state/a.json", [2]string{"x-ms-version", "latest"}, 400, "InvalidHeaderValue"},
		"an old version":   {http.MethodGet, "/state/a.json", [2]string{"x-ms-version", "2009-09-19"}, 400, "InvalidHeaderValue"},
		"another type":     {http.MethodPut, "/state/a.json", [2]string{"x-ms-blob-type", "PageBlob"}, 400, "InvalidHeaderValue"},
		"no type":          {http.MethodPut, "/state/a.json", [2]string{}, 400, "InvalidHeaderValue"},
		"a list of blobs":  {http.MethodGet, "/state?restype=container&comp=list", [2]string{}, 405, "UnsupportedHttpVerb"},
		"DELETE":           {http.MethodDelete, "/state/a.json", [2]string{}, 405, "UnsupportedHttpVerb"},
		"metadata":         {http.MethodPut, "/state/a.json?comp=metadata", [2]string{}, 405, "UnsupportedHttpVerb"},
		"no action":        {http.MethodPut, "/state/a.json?comp=lease", [2]string{}, 405, "UnsupportedHttpVerb"},
		"renewal of none":  {http.MethodPut, "/state/a.json?comp=lease", [2]string{"x-ms-lease-action", "renew"}, 400, "MissingRequiredHeader"},
		"release of none":  {http.MethodPut, "/state/a.json?comp=lease", [2]string{"x-ms-lease-action", "release"}, 400, "MissingRequiredHeader"},
		"not modified":     {http.MethodGet, "/state/a.json", [2]string{"If-None-Match", `"0x8D0000000000001"`}, 304, "ConditionNotMet"},
		"HEAD of none":     {http.MethodHead, "/state/b.json", [2]string{}, 404, "BlobNotFound"},
		"HEAD":             {http.MethodHead, "/state/a.json", [2]string{}, 200, ""},
		"lease of nothing": {http.MethodPut, "/state/b.json?comp=lease", [2]string{"x-ms-lease-action", "acquire"}, 404, "BlobNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(r *rig) {
				r.mustPut("1", "")
				request := httptest.NewRequest(test.method, test.target, bytes.NewReader(nil))
				request.Header.Set("Authorization", "Bearer token")
				request.Header.Set("x-ms-version", "2024-08-04")
				if test.header[0] != "" {
					request.Header.Set(test.header[0], test.header[1])
				}
				answer := httptest.NewRecorder()
				r.server.ServeHTTP(answer, request)
				if answer.Code != test.status || answer.Header().Get("x-ms-error-code") != test.code {
					t.Errorf("%d %s", answer.Code, answer.Header())
				}
			})
		})
	}
}

func TestCallsAndTheirActions(t *testing.T) {
	inRig(t, func(r *rig) {
		r.mustPut("1", "")
		r.get()
		r.must(r.acquire(one, 30))
		r.must(r.renew(one))
		r.must(r.release(one))
		const container = "Microsoft.Storage/storageAccounts/blobServices/containers/"
		want := [][3]string{
			{"create container", container + "write", "/state"}, {"put", container + "blobs/write", "/state/a.json"},
			{"get", container + "blobs/read", "/state/a.json"},
			{"acquire", container + "blobs/write", "/state/a.json"}, {"renew", container + "blobs/write", "/state/a.json"},
			{"release", container + "blobs/write", "/state/a.json"},
		}
		calls := r.server.Calls()
		if len(calls) != len(want) {
			t.Fatalf("%+v", calls)
		}
		for i, call := range calls {
			if got := [3]string{call.Operation, call.Action, call.Resource}; got != want[i] || call.Service != "blob" || call.Status/100 != 2 {
				t.Errorf("call %d is %+v", i, call)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	for kind, want := range map[wire.Kind]struct {
		status int
		code   string
		done   bool
	}{
		wire.AccessDenied:   {403, "AuthorizationPermissionMismatch", false},
		wire.Conflict:       {409, "LeaseAlreadyPresent", false},
		wire.BadRequest:     {400, "InvalidInput", false},
		wire.Throttle:       {503, "ServerBusy", false},
		wire.Status5xx:      {500, "InternalError", false},
		wire.Status5xxAfter: {500, "InternalError", true},
		wire.DropBefore:     {0, "", false},
		wire.DropAfter:      {0, "", true},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			inRig(t, func(r *rig) {
				r.server.Inject(wire.Fault{Operation: "put", Nth: 1, Kind: kind, RetryAfter: 17 * time.Second})
				_, err := r.put("1", nil, nil, "")
				if want.status != 0 {
					r.mustBe(err, want.status, want.code)
				} else if err == nil {
					t.Error("no error")
				}
				if done := len(r.server.Blobs("state")) == 1; done != want.done {
					t.Errorf("done %t", done)
				}
			})
		})
	}
}
