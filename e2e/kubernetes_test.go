package e2e

import (
	"bytes"
	"errors"
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

// resources are Kubernetes objects.
type resources []runtime.Object

// resourcesOf returns the objects of one type.
func resourcesOf[T runtime.Object](res resources) (found []T) {
	for _, object := range res {
		if object, ok := object.(T); ok {
			found = append(found, object)
		}
	}
	return found
}

func (res resources) namespaces() []*corev1.Namespace   { return resourcesOf[*corev1.Namespace](res) }
func (res resources) services() []*corev1.Service       { return resourcesOf[*corev1.Service](res) }
func (res resources) deployments() []*appsv1.Deployment { return resourcesOf[*appsv1.Deployment](res) }
func (res resources) cronJobs() []*batchv1.CronJob      { return resourcesOf[*batchv1.CronJob](res) }
func (res resources) policies() []*networkingv1.NetworkPolicy {
	return resourcesOf[*networkingv1.NetworkPolicy](res)
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

// kinds are what the examples may contain: above all no Secret.
var kinds = []string{"Namespace", "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment", "CronJob", "ConfigMap"}

// build builds the variant. It fails the test for everything that the API server rejects with strict field validation: unknown
// fields, wrong types, duplicate fields.
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
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	res := decodeStrictly(t, text)
	for _, resource := range built.Resources() {
		if !slices.Contains(kinds, resource.GetKind()) {
			t.Errorf("got the kind %s, want one of %s", resource.GetKind(), kinds)
		}
		check(resource.GetKind(), resource.GetNamespace())
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

// decodeStrictly decodes YAML documents as strictly as the API server.
func decodeStrictly(t *testing.T, documents []byte) (res resources) {
	t.Helper()
	scheme := runtime.NewScheme()
	err := errors.Join(
		appsv1.AddToScheme(scheme), batchv1.AddToScheme(scheme), corev1.AddToScheme(scheme),
		networkingv1.AddToScheme(scheme), policyv1.AddToScheme(scheme),
	)
	if err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for text := range bytes.SplitSeq(documents, []byte("\n---\n")) {
		object, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		res = append(res, object)
	}
	return res
}

// podTemplate returns the template of the only workload.
func (res resources) podTemplate(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	var all []corev1.PodTemplateSpec
	for _, deployment := range res.deployments() {
		all = append(all, deployment.Spec.Template)
	}
	for _, job := range res.cronJobs() {
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
	containers := slices.Concat(pod.InitContainers, pod.Containers)
	i := slices.IndexFunc(containers, func(container corev1.Container) bool { return container.Name == "broker" })
	if i < 0 {
		t.Fatal("the pod has no container named broker")
	}
	return containers[i]
}
