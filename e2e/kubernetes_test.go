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

// base is a folder of ../examples/kubernetes as somebody may apply it.
type base struct {
	name, folder string
	// uncommented are the lines that are taken out of their comments, by file.
	uncommented map[string][]string
	// startsWithoutToken is whether the app is started, or the broker's pod alive, while the login server refuses.
	startsWithoutToken bool
}

func (b base) central() bool { return b.folder == "central" }

func components(names ...string) map[string][]string {
	lines := []string{"components:"}
	for _, name := range names {
		lines = append(lines, "  - "+name)
	}
	return map[string][]string{"central/kustomization.yaml": lines}
}

var bases = []base{
	{"sidecar", "sidecar", nil, true},
	{"sidecar with all that is commented", "sidecar", map[string][]string{"sidecar/deployment.yaml": {
		"- name: BROKER_ADMIN_LISTEN", "  value: 0.0.0.0:9464", "ports:", "  - name: broker-metrics", "    containerPort: 9464",
		"readinessProbe:", "  exec:", `    command: ["/broker", "wait", "-timeout", "1s"]`, "  periodSeconds: 5", "  timeoutSeconds: 5",
	}}, true},
	{"job", "job", nil, false},
	{"central", "central", nil, true},
	{"central with fewer rights", "central", map[string][]string{"central/deployment.yaml": {"- name: BROKER_ALLOW", "  value: READ-ONLY"}}, true},
	{"central with mtls", "central", components("mtls"), true},
	{"central with store", "central", components("store"), true},
	{"central with both", "central", components("mtls", "store"), true},
}

// cluster is what a base makes of one.
type cluster struct {
	namespaces  []*corev1.Namespace
	services    []*corev1.Service
	budgets     []*policyv1.PodDisruptionBudget
	policies    []*networkingv1.NetworkPolicy
	deployments []*appsv1.Deployment
	cronJobs    []*batchv1.CronJob
}

// eachBase runs a test on every base, built as kubectl apply -k does and read as the API server does.
func eachBase(t *testing.T, test func(t *testing.T, b base, c cluster)) {
	t.Parallel()
	for _, b := range bases {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b, b.apply(t))
		})
	}
}

// apply fails the test for what the API server refuses with strict field validation: a field that there is not, one of
// another type, one that is there twice.
func (b base) apply(t *testing.T) cluster {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(b.files(t), "/"+b.folder)
	if err != nil {
		t.Fatal(err)
	}
	var c cluster
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, err := decodeStrictly(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		c.add(t, object)
		if described, err := meta.Accessor(object); err != nil || b.central() && resource.GetKind() != "Namespace" && described.GetNamespace() != "etrusted" {
			t.Errorf("%s is in another namespace (%v)", resource.GetKind(), err)
		}
	}
	return c
}

// files are those of all bases, with the lines of this one uncommented.
func (b base) files(t *testing.T) filesys.FileSystem {
	t.Helper()
	files := filesys.MakeFsInMemory()
	read := 0
	err := fs.WalkDir(os.DirFS(kubernetesExamples), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path.Join(kubernetesExamples, name))
		if err != nil {
			return err
		}
		if lines := b.uncommented[name]; lines != nil {
			read++
			text = []byte(uncomment(t, string(text), lines))
		}
		return files.WriteFile("/"+name, text)
	})
	if err != nil || read != len(b.uncommented) {
		t.Fatalf("%d of %d files to be changed were read: %v", read, len(b.uncommented), err)
	}
	return files
}

// uncomment takes lines that follow each other out of their comments. Each is given without its indentation.
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
		t.Fatalf("there is no comment %q", lines[0])
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

// add refuses what a base should not have: a Secret above all.
func (c *cluster) add(t *testing.T, object runtime.Object) {
	t.Helper()
	switch object := object.(type) {
	case *corev1.Namespace:
		c.namespaces = append(c.namespaces, object)
	case *corev1.Service:
		c.services = append(c.services, object)
	case *policyv1.PodDisruptionBudget:
		c.budgets = append(c.budgets, object)
	case *networkingv1.NetworkPolicy:
		c.policies = append(c.policies, object)
	case *appsv1.Deployment:
		c.deployments = append(c.deployments, object)
	case *batchv1.CronJob:
		c.cronJobs = append(c.cronJobs, object)
	default:
		t.Errorf("there is a %T", object)
	}
}

// template is that of the only kind of pods that a base has.
func (c *cluster) template(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	var all []corev1.PodTemplateSpec
	for _, deployment := range c.deployments {
		all = append(all, deployment.Spec.Template)
	}
	for _, job := range c.cronJobs {
		all = append(all, job.Spec.JobTemplate.Spec.Template)
	}
	if len(all) != 1 {
		t.Fatalf("%d kinds of pods, want 1", len(all))
	}
	return all[0]
}

// brokerOf is the container that runs the broker.
func brokerOf(t *testing.T, pod corev1.PodSpec) corev1.Container {
	t.Helper()
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		if container.Name == "broker" {
			return container
		}
	}
	t.Fatal("there is no broker")
	return corev1.Container{}
}
