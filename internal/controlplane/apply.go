package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// ApplyYAML applies all documents of a text, as kubectl apply --server-side does.
func ApplyYAML(ctx context.Context, config *rest.Config, text []byte) error {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(clients.Discovery()))
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4<<10)
	for {
		var object unstructured.Unstructured
		if err := documents.Decode(&object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("controlplane: %w", err)
		}
		if object.Object == nil {
			continue
		}
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("controlplane: %w", err)
		}
		resource := objects.Resource(mapping.Resource).Namespace(object.GetNamespace())
		options := metav1.ApplyOptions{FieldManager: "operator", Force: true}
		if _, err := resource.Apply(ctx, object.GetName(), &object, options); err != nil {
			return fmt.Errorf("controlplane: apply %s %s: %w", kind.Kind, object.GetName(), err)
		}
	}
}
