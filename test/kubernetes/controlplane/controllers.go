package controlplane

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/quota/v1/install"
)

// workers of each controller: tests use many namespaces at once.
const workers = 5

// startControllers starts the real controllers, and the stand-in for a kubelet.
func startControllers(ctx context.Context, config *rest.Config) error {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	metadatas, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	shared := informers.NewSharedInformerFactory(clients, 0)
	metadataShared := metadatainformer.NewSharedInformerFactory(metadatas, 0)
	deployments, err := deployment.NewDeploymentController(ctx, shared.Apps().V1().Deployments(), shared.Apps().V1().ReplicaSets(),
		shared.Core().V1().Pods(), clients)
	if err != nil {
		return err
	}
	replicaSets := replicaset.NewReplicaSetController(ctx, shared.Apps().V1().ReplicaSets(), shared.Core().V1().Pods(), clients,
		replicaset.BurstReplicas)
	namespaces := namespace.NewNamespaceController(ctx, clients, metadatas, clients.Discovery().ServerPreferredNamespacedResources,
		shared.Core().V1().Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), shared.Core().V1().ServiceAccounts(),
		shared.Core().V1().Namespaces(), clients, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	// The built-in role admin is empty without it.
	roles := clusterroleaggregation.NewClusterRoleAggregation(shared.Rbac().V1().ClusterRoles(), clients.RbacV1())
	ignored := map[schema.GroupResource]struct{}{}
	for resource := range garbagecollector.DefaultIgnoredResources() {
		ignored[resource] = struct{}{}
	}
	started := make(chan struct{})
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(clients.Discovery()))
	garbage, err := garbagecollector.NewGarbageCollector(ctx, clients, metadatas, mapper, ignored,
		informerfactory.NewInformerFactory(shared, metadataShared), started)
	if err != nil {
		return err
	}
	quotas, err := quotaController(ctx, clients, shared, informerfactory.NewInformerFactory(shared, metadataShared), started)
	if err != nil {
		return err
	}
	if err := startKubelet(ctx, clients, shared); err != nil {
		return err
	}
	shared.Start(ctx.Done())
	metadataShared.Start(ctx.Done())
	close(started)
	for _, run := range []func(){
		func() { deployments.Run(ctx, workers) },
		func() { replicaSets.Run(ctx, workers) },
		func() { namespaces.Run(ctx, workers) },
		func() { accounts.Run(ctx, 1) },
		func() { roles.Run(ctx, 1) },
		func() { quotas.Run(ctx, workers) },
		func() { garbage.Run(ctx, workers, 2*time.Second) },
		func() { garbage.Sync(ctx, clients.Discovery(), 10*time.Second) },
	} {
		go run()
	}
	shared.WaitForCacheSync(ctx.Done())
	return nil
}

// quotaController counts what a ResourceQuota is for, without which the API server refuses everything under it.
func quotaController(
	ctx context.Context, clients *kubernetes.Clientset, shared informers.SharedInformerFactory, all informerfactory.InformerFactory,
	started chan struct{},
) (*resourcequota.Controller, error) {
	configuration, err := install.NewQuotaConfigurationForControllers(generic.ListerFuncForResourceFunc(shared.ForResource), shared)
	if err != nil {
		return nil, err
	}
	return resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient: clients.CoreV1(), ResourceQuotaInformer: shared.Core().V1().ResourceQuotas(), InformerFactory: all,
		InformersStarted: started,
		ResyncPeriod:     func() time.Duration { return time.Minute }, ReplenishmentResyncPeriod: func() time.Duration { return time.Minute },
		DiscoveryFunc: clients.Discovery().ServerPreferredNamespacedResources, IgnoredResourcesFunc: configuration.IgnoredResources,
		Registry: generic.NewRegistry(configuration.Evaluators()), UpdateFilter: install.DefaultUpdateFilter(),
	})
}
