package e2e

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const kubernetesExamples = "../examples/kubernetes"

// variant is a directory of ../examples/kubernetes, with a choice of its optional lines uncommented.
type variant struct {
	name, dir string
	// uncommented has the lines to uncomment, by file.
	uncommented map[string][]string
	// startsWithoutToken reports whether the startup probe succeeds while the login server rejects the credentials.
	startsWithoutToken bool
}

func (v variant) central() bool { return v.dir == "central" }

// uncommentComponents returns the lines to uncomment for these components of the central broker.
func uncommentComponents(names ...string) map[string][]string {
	lines := []string{"components:"}
	for _, name := range names {
		lines = append(lines, "  - "+name)
	}
	return map[string][]string{"central/kustomization.yaml": lines}
}

var variants = []variant{
	{"sidecar", "sidecar", nil, true},
	{"sidecar with all options", "sidecar", map[string][]string{"sidecar/deployment.yaml": {
		"- name: BROKER_ADMIN_LISTEN", "  value: 0.0.0.0:9464", "ports:", "  - name: broker-metrics", "    containerPort: 9464",
		"readinessProbe:", "  exec:", `    command: ["/broker", "wait", "-timeout", "1s"]`, "  periodSeconds: 5", "  timeoutSeconds: 5",
	}}, true},
	{"job", "job", nil, false},
	{"central", "central", nil, true},
	{"central with fewer rights", "central", map[string][]string{"central/deployment.yaml": {"- name: BROKER_ALLOW", "  value: READ-ONLY"}}, true},
	{"central with mtls", "central", uncommentComponents("mtls"), true},
	{"central with store", "central", uncommentComponents("store"), true},
	{"central with callers", "central", uncommentComponents("callers"), true},
	{"central with all components", "central", uncommentComponents("callers", "mtls", "store"), true},
}

// resources are the Kubernetes objects of a variant.
type resources struct {
	namespaces  []*corev1.Namespace
	services    []*corev1.Service
	budgets     []*policyv1.PodDisruptionBudget
	policies    []*networkingv1.NetworkPolicy
	deployments []*appsv1.Deployment
	cronJobs    []*batchv1.CronJob
	configMaps  []*corev1.ConfigMap
}

// forEachVariant runs a parallel subtest for each variant, built as by kubectl apply -k and decoded as by the API server.
func forEachVariant(t *testing.T, test func(t *testing.T, v variant, res resources)) {
	t.Parallel()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			test(t, v, v.build(t))
		})
	}
}

// build fails the test for everything that the API server rejects with strict field validation: unknown fields, wrong types,
// duplicate fields.
func (v variant) build(t *testing.T) resources {
	t.Helper()
	return buildKustomization(t, v.files(t), "/"+v.dir, func(kind, namespace string) {
		if v.central() && kind != "Namespace" && namespace != "etrusted" || kind == "ConfigMap" {
			t.Errorf("got the %s in the namespace %q, want the namespace etrusted, and no ConfigMap", kind, namespace)
		}
	})
}

// buildKustomization builds the directory, and calls check with kind and namespace of each object.
func buildKustomization(t *testing.T, files filesys.FileSystem, dir string, check func(kind, namespace string)) resources {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, dir)
	if err != nil {
		t.Fatal(err)
	}
	var res resources
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, err := decodeStrictly(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		res.add(t, object)
		described, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		check(resource.GetKind(), described.GetNamespace())
	}
	return res
}

// files returns the files of all directories, with this variant's lines uncommented.
func (v variant) files(t *testing.T) filesys.FileSystem {
	t.Helper()
	files := filesys.MakeFsInMemory()
	changed := 0
	err := fs.WalkDir(os.DirFS(kubernetesExamples), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path.Join(kubernetesExamples, name))
		if err != nil {
			return err
		}
		if lines := v.uncommented[name]; lines != nil {
			changed++
			text = []byte(uncomment(t, string(text), lines))
		}
		return files.WriteFile("/"+name, text)
	})
	if err != nil || changed != len(v.uncommented) {
		t.Fatalf("changed %d files, want %d (error: %v)", changed, len(v.uncommented), err)
	}
	return files
}

// uncomment uncomments these lines, which must occur in this order. They are given without their indentation.
func uncomment(t *testing.T, text string, lines []string) string {
	t.Helper()
	var result strings.Builder
	for line := range strings.Lines(text) {
		if len(lines) > 0 && strings.TrimSpace(line) == "# "+lines[0] {
			line, lines = strings.Replace(line, "# ", "", 1), lines[1:]
		}
		result.WriteString(line)
	}
	if len(lines) > 0 {
		t.Fatalf("the file has no comment %q", lines[0])
	}
	return result.String()
}

func decodeStrictly(text []byte) (runtime.Object, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	object, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer().Decode(text, nil, nil)
	return object, err
}

// add sorts an object into its list. It fails the test for kinds that the examples should not contain, above all a Secret.
func (res *resources) add(t *testing.T, object runtime.Object) {
	t.Helper()
	switch object := object.(type) {
	case *corev1.Namespace:
		res.namespaces = append(res.namespaces, object)
	case *corev1.Service:
		res.services = append(res.services, object)
	case *policyv1.PodDisruptionBudget:
		res.budgets = append(res.budgets, object)
	case *networkingv1.NetworkPolicy:
		res.policies = append(res.policies, object)
	case *appsv1.Deployment:
		res.deployments = append(res.deployments, object)
	case *batchv1.CronJob:
		res.cronJobs = append(res.cronJobs, object)
	case *corev1.ConfigMap:
		res.configMaps = append(res.configMaps, object)
	default:
		t.Errorf("unexpected kind %T", object)
	}
}

// podTemplate returns the template of the only workload.
func (res *resources) podTemplate(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	var all []corev1.PodTemplateSpec
	for _, deployment := range res.deployments {
		all = append(all, deployment.Spec.Template)
	}
	for _, job := range res.cronJobs {
		all = append(all, job.Spec.JobTemplate.Spec.Template)
	}
	if len(all) != 1 {
		t.Fatalf("got %d pod templates, want 1", len(all))
	}
	return all[0]
}

// brokerContainer returns the container that runs the broker.
func brokerContainer(t *testing.T, pod corev1.PodSpec) corev1.Container {
	t.Helper()
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		if container.Name == "broker" {
			return container
		}
	}
	t.Fatal("the pod has no container named broker")
	return corev1.Container{}
}
