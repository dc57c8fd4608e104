package containerapp

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Config says which app.
type Config struct {
	Credential azcore.TokenCredential // for Azure Resource Manager
	Client     arm.ClientOptions      // of its clients: cloud, transport, retries
	App        string                 // resource ID of the Container App
	Dry        bool                   // Check sends nothing that could be carried out: the run is a plan
	State      *container.Client      // where the blob with the lock and the note is; it is made if it is not there
	Log        *slog.Logger           // nil: no log
}

// tryTimeout is how long one request to Azure Resource Manager may take, where the Config does not say.
const tryTimeout = 30 * time.Second

// client are the options of the clients of Azure Resource Manager. A registration of the resource provider would need a right
// on the whole subscription.
func (c Config) client() *arm.ClientOptions {
	options := c.Client
	options.ClientOptions = LastAnswers(options.ClientOptions)
	options.DisableRPRegistration = true
	if options.Retry.TryTimeout == 0 {
		options.Retry.TryTimeout = tryTimeout
	}
	return &options
}

// Runner implements [rotate.Runner] and [rotate.Locker]. It may do several runs, one after the other.
type Runner struct {
	config    Config
	id        *arm.ResourceID
	apps      *armappcontainers.ContainerAppsClient
	revisions *armappcontainers.ContainerAppsRevisionsClient
	replicas  *armappcontainers.ContainerAppsRevisionReplicasClient
	manager   *arm.Client // for what those do not ask
	lock      *lock
	log       *slog.Logger

	agentID, region string

	seen       view
	note       rotate.Note      // as last observed
	wishes     rotate.Wishes    // as last read
	restartDue bool             // this Runner has stored a value, or may have, and restarted nothing since
	held       time.Time        // since when the app held what it does, at the latest, by Azure's clock; zero: not known
	resent     bool             // a value that was held by an app whose last change had failed was sent again
	wrote      write            // what this Runner wrote last
	asked      question         // what this Runner asked last
	ordered    map[string]order // by revision: the restarts that this Runner has ordered since
	noted      map[string]order // by revision: those that are in the note
	void       time.Time        // of the order in the note that does not stand any more, since something was stored
	allowed    time.Time        // until then Azure has asked to send no change
}

var (
	_ rotate.Runner = (*Runner)(nil)
	_ rotate.Locker = (*Runner)(nil)
)

// Discover finds the runner of an app. It changes nothing.
func Discover(ctx context.Context, config Config) (*Runner, error) {
	id, err := parseApp(config.App)
	if err != nil {
		return nil, err
	}
	factory, err := armappcontainers.NewClientFactory(id.SubscriptionID, config.Credential, config.client())
	if err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "the clients of Azure Resource Manager cannot be made: %w", err)
	}
	manager, err := arm.NewClient("maia-rotate", "v1.0.0", config.Credential, config.client())
	if err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "the client of Azure Resource Manager cannot be made: %w", err)
	}
	r := &Runner{
		config: config, id: id, log: config.Log, ordered: map[string]order{}, manager: manager,
		apps:      factory.NewContainerAppsClient(),
		revisions: factory.NewContainerAppsRevisionsClient(),
		replicas:  factory.NewContainerAppsRevisionReplicasClient(),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.readApp(ctx); err != nil {
		return nil, err
	}
	if r.agentID, err = r.seen.plain("AGENT_ID"); err != nil {
		return nil, err
	}
	if err := maia.CheckAgentID(r.agentID); err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "the variable AGENT_ID of app %s is %q, expected an agent ID (a UUID)", id.Name,
			r.agentID).
			WithHint("check that the app is a runner's")
	}
	region, _ := r.seen.plain("MATILLION_REGION") // one that is not there is the caller's to know
	r.region = strings.ToLower(region)
	r.lock = newLock(config.State, strings.ToLower(r.agentID)+".json", id.String())
	return r, nil
}

// parseApp takes the resource ID of an app apart.
func parseApp(text string) (*arm.ResourceID, error) {
	const expected = "expected /subscriptions/S/resourceGroups/G/providers/Microsoft.App/containerApps/NAME"
	id, err := arm.ParseResourceID(text)
	switch {
	case err != nil:
		return nil, rotate.Errorf(rotate.Configuration, "%q is not a resource ID, %s", text, expected)
	case strings.EqualFold(id.ResourceType.Namespace, "Microsoft.ContainerInstance"):
		return nil, rotate.Errorf(rotate.Configuration,
			"%q is a runner on Container Instances, which cannot be rotated: a secure value of a container group cannot be read back", text).
			WithHint("move the runner to Container Apps, as the vendor's templates do")
	case !strings.EqualFold(id.ResourceType.String(), "Microsoft.App/containerApps"), id.ResourceGroupName == "", id.SubscriptionID == "":
		return nil, rotate.Errorf(rotate.Configuration, "%q is not the resource ID of a Container App, %s", text, expected)
	}
	return id, nil
}

// AgentID is what the app's AGENT_ID says.
func (r *Runner) AgentID() string { return r.agentID }

// StoreTime is for a change of an app, which may take 90 s, and for the requests before and after it.
const StoreTime = 2 * time.Minute

// StoreTime implements rotate.Runner.
func (r *Runner) StoreTime() time.Duration { return StoreTime }

// Region is what the app's MATILLION_REGION says, in lower case; empty if it says nothing.
func (r *Runner) Region() string { return r.region }

// Revisions are the names of those that a rotation restarts, as last observed.
func (r *Runner) Revisions() []string {
	names := make([]string, len(r.seen.revisions))
	for i, found := range r.seen.revisions {
		names[i] = found.name
	}
	return names
}

// Busy waits until no other run holds the runner's lock, or until the lease has been held for longer than it lasts: then its
// holder has renewed it, and is alive.
func (r *Runner) Busy(ctx context.Context) (holder string, busy bool, err error) {
	defer r.lock.lease.Use()()
	free, err := r.lock.lease.Await(ctx)
	if err != nil {
		return "", false, failure("read blob "+r.lock.name, actionReadBlob, err)
	}
	return "another run", !free, nil
}

// Observe implements [rotate.Runner].
func (r *Runner) Observe(ctx context.Context) (rotate.Platform, error) {
	if err := r.readApp(ctx); err != nil {
		return rotate.Platform{}, err
	}
	if err := r.readSecrets(ctx); err != nil {
		return rotate.Platform{}, err
	}
	if err := r.remember(ctx); err != nil {
		return rotate.Platform{}, err
	}
	if err := r.readRevisions(ctx); err != nil {
		return rotate.Platform{}, err
	}
	note, free, err := r.readNote(ctx)
	if err != nil {
		return rotate.Platform{}, err
	}
	store, err := r.seen.credentials()
	if err != nil {
		return rotate.Platform{}, err
	}
	if err := r.readWishes(ctx); err != nil {
		return rotate.Platform{}, err
	}
	r.note = note.Of(r.agentID)
	r.recall(r.note, store)
	return rotate.Platform{Stored: store, Free: free, Instances: r.instances(), Note: r.note, Wishes: r.wishes}, nil
}

// readWishes reads what operators have asked for. Once this Runner has changed what the app runs with nothing depends on it.
func (r *Runner) readWishes(ctx context.Context) error {
	wishes, _, err := readWishes(ctx, r.lock.container, r.agentID)
	switch {
	case err == nil:
		r.wishes = wishes
	case errors.Is(err, errUnread):
		r.wishes = rotate.Unread(err)
	case !r.restartDue && len(r.ordered) == 0:
		return err
	}
	return nil
}

// readNote reads the note, and whether no other run holds the lock. Once this Runner has changed what the app runs with, the note
// as last seen is enough: a runner that is down must not wait for the storage account. A note that was not seen is never
// overwritten.
func (r *Runner) readNote(ctx context.Context) (note rotate.Note, free bool, err error) {
	defer r.lock.lease.Use()()
	if err := failure("read blob "+r.lock.name, actionReadBlob, r.lock.lease.Read(ctx)); err != nil {
		if !r.restartDue && len(r.ordered) == 0 {
			return rotate.Note{}, false, err
		}
		r.log.WarnContext(ctx, "the note could not be read; what was seen of it last stands", rotate.LogError(err))
		return r.lock.note, r.lock.lease.Held(), nil
	}
	return r.lock.note, r.lock.lease.Free(), nil
}

// SaveNote implements [rotate.Runner]. Another run's note is not overwritten: at most one intent stands.
func (r *Runner) SaveNote(ctx context.Context, note rotate.Note) error {
	defer r.lock.lease.Use()()
	if err := r.lock.write(ctx, note); err != nil {
		return failure("write blob "+r.lock.name, actionWriteBlob, err)
	}
	if store, err := r.seen.credentials(); err == nil && note.Ordered == nil && note.Applied == store.ClientSecret.Fingerprint() {
		clear(r.ordered) // the instances were seen back: what Azure says of them counts again
	}
	return nil
}

// enter takes the lock before something is changed.
func (r *Runner) enter(ctx context.Context) error {
	defer r.lock.lease.Use()()
	return failure("take the lease of blob "+r.lock.name, actionWriteBlob, r.lock.enter(ctx))
}

// Hold implements [rotate.Locker].
func (r *Runner) Hold(ctx context.Context, d time.Duration) error {
	defer r.lock.lease.Use()()
	return failure("renew the lease of blob "+r.lock.name, actionWriteBlob, r.lock.hold(ctx, d))
}

// Release implements [rotate.Locker].
func (r *Runner) Release(ctx context.Context) { r.lock.lease.Release(ctx) }
