package controlplane

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// takesEffect is how long a quota or a policy may take to take effect.
const takesEffect = time.Minute

// fullQuota leaves room for the Secrets that there are.
func (s *Stage) fullQuota() error {
	ctx, cancel := context.WithTimeout(context.Background(), takesEffect)
	defer cancel()
	secrets, err := s.clients.CoreV1().Secrets(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	hard := corev1.ResourceList{corev1.ResourceSecrets: *resource.NewQuantity(int64(len(secrets.Items)), resource.DecimalSI)}
	quotas := s.clients.CoreV1().ResourceQuotas(s.Namespace)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "secrets"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	if _, err := quotas.Create(ctx, quota, metav1.CreateOptions{}); err != nil {
		return err
	}
	return await(ctx, func() (bool, error) {
		quota, err := quotas.Get(ctx, "secrets", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		used, counted := quota.Status.Used[corev1.ResourceSecrets]
		return counted && used.CmpInt64(int64(len(secrets.Items))) == 0, nil
	})
}

// denies makes a policy that admits an operation on Secrets of the namespace only where an expression is true.
func denies(operation admissionv1.OperationType, expression string) func(*Stage) error {
	return func(s *Stage) error {
		ctx, cancel := context.WithTimeout(context.Background(), takesEffect)
		defer cancel()
		name, here := "denies-"+s.Namespace, map[string]string{corev1.LabelMetadataName: s.Namespace}
		admissions := s.clients.AdmissionregistrationV1()
		_, err := admissions.ValidatingAdmissionPolicies().Create(ctx, &admissionv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
					RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{operation},
						Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
					},
				}}},
				Validations: []admissionv1.Validation{{Expression: expression, Message: "not in this namespace"}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, err = admissions.ValidatingAdmissionPolicyBindings().Create(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
				MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: here}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return await(ctx, func() (bool, error) { return s.denied(ctx, operation), nil })
	}
}

// denied reports whether an operation on a Secret is denied, by a dry run.
func (s *Stage) denied(ctx context.Context, operation admissionv1.OperationType) bool {
	secrets, dry := s.clients.CoreV1().Secrets(s.Namespace), []string{metav1.DryRunAll}
	if operation == admissionv1.Create {
		tried := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tried"}}
		_, err := secrets.Create(ctx, tried, metav1.CreateOptions{DryRun: dry})
		return err != nil
	}
	label := []byte(`{"metadata":{"labels":{"tried":"now"}}}`)
	_, err := secrets.Patch(ctx, s.record(), types.MergePatchType, label, metav1.PatchOptions{DryRun: dry})
	return err != nil
}

// record is the name of the release's first record.
func (s *Stage) record() string { return "sh.helm.release.v1." + s.Release + ".v1" }

// longestSecret is what a Secret may hold, in bytes; nearly is how much less is kept free.
const (
	longestSecret = 1 << 20
	nearly        = 400
)

// longRecord adds a file to the chart in the release's record that nothing compresses, so that the record is nearly as long as one may be.
func (s *Stage) longRecord() error {
	ctx := context.Background()
	secrets := s.clients.CoreV1().Secrets(s.Namespace)
	found, err := secrets.Get(ctx, s.record(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	release, err := unpacked(found.Data["release"])
	if err != nil {
		return err
	}
	chart, ok := release["chart"].(map[string]any)
	if !ok {
		return fmt.Errorf("record %s holds no chart", s.record())
	}
	random := make([]byte, longestSecret)
	rand.Read(random) // never fails
	// By bisection: the length of a record is known only when it is made.
	for low, high := 0, len(random); low < high-1; {
		middle := (low + high) / 2
		chart["files"] = []any{map[string]any{"name": "random", "data": base64.StdEncoding.EncodeToString(random[:middle])}}
		record, err := packed(release)
		if err != nil {
			return err
		}
		if len(record) > longestSecret-nearly {
			high = middle
			continue
		}
		low, found.Data["release"] = middle, record
	}
	_, err = secrets.Update(ctx, found, metav1.UpdateOptions{})
	return err
}

func unpacked(record []byte) (release map[string]any, err error) {
	reader, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(record)))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return release, decoder.Decode(&release)
}

func packed(release map[string]any) ([]byte, error) {
	text, err := json.Marshal(release)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	writer, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, _ = writer.Write(text) // to memory
	_ = writer.Close()
	return []byte(base64.StdEncoding.EncodeToString(out.Bytes())), nil
}

// managedSecret has another tool declare the value that the Secret holds.
func (s *Stage) managedSecret() error {
	ctx := context.Background()
	secrets := s.clients.CoreV1().Secrets(s.Namespace)
	found, err := secrets.Get(ctx, s.Secret, metav1.GetOptions{})
	if err != nil {
		return err
	}
	declared, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": s.Secret},
		"data": map[string][]byte{"OAUTH_CLIENT_SECRET": found.Data["OAUTH_CLIENT_SECRET"]},
	})
	if err != nil {
		return err
	}
	yes := true
	_, err = secrets.Patch(ctx, s.Secret, types.ApplyPatchType, declared, metav1.PatchOptions{FieldManager: "external-secrets", Force: &yes})
	return err
}

// await returns when the condition holds.
func await(ctx context.Context, is func() (bool, error)) error {
	for {
		if now, err := is(); now || err != nil {
			return err
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return fmt.Errorf("it does not take effect: %w", ctx.Err())
		}
	}
}
