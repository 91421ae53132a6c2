package e2e

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const helmChart = "../examples/helm"

// callersOfBase are the callers in the kustomize component.
const callersOfBase = "callers[0].name=shop,callers[0].allow=true,callers[1].name=erp"

// helm runs helm and returns what it prints. The test is skipped without helm.
func helm(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	program, err := exec.LookPath("helm")
	if err != nil {
		skip(t, "E2E_HELM", "NO helm IN PATH: that the chart is the same as the kustomize base is NOT TESTED")
	}
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = []string{"HOME=" + t.TempDir()} // neither plug-ins nor settings of the user
	return command.CombinedOutput()
}

// The chart and the kustomize base are the same for the same choices, so only one of them must be right.
func TestHelmChartEqualsKustomizeBase(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"central":                     "replicas=2",
		"central with fewer rights":   "allow=READ-ONLY",
		"central with mtls":           "mtls.enabled=true",
		"central with store":          "store.enabled=true",
		"central with both":           "mtls.enabled=true,store.enabled=true",
		"central with callers":        callersOfBase,
		"central with all components": "mtls.enabled=true,store.enabled=true," + callersOfBase,
	}
	for _, v := range variants {
		if !v.central() {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			set, ok := values[v.name]
			if !ok {
				t.Fatal("got no values of the chart for this variant, want them in the table above")
			}
			output, err := helm(t, "template", "etrusted-broker", helmChart, "--namespace", "etrusted", "--kube-version", "1.30.0", "--set", set)
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			got, want := decodeStrictly(t, output).byName(t), v.build(t).byName(t)
			for name := range got {
				if want[name] == nil {
					t.Errorf("got the object %s in the chart, want none, as in the base", name)
				}
			}
			for name, object := range want {
				if !reflect.DeepEqual(got[name], object) {
					fromChart, _ := yaml.Marshal(got[name])
					fromBase, _ := yaml.Marshal(object)
					t.Errorf("%s:\ngot from the chart:\n%s\nwant, from the base:\n%s", name, fromChart, fromBase)
				}
			}
		})
	}
}

// byName returns the objects by kind and name, without the Namespace, which Helm does not create from a chart.
func (res resources) byName(t *testing.T) map[string]runtime.Object {
	t.Helper()
	objects := map[string]runtime.Object{}
	for _, object := range res {
		described, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		if kind := object.GetObjectKind().GroupVersionKind().Kind; kind != "Namespace" {
			objects[kind+" "+described.GetName()] = object
		}
	}
	return objects
}

func TestHelmChartPassesLint(t *testing.T) {
	t.Parallel()
	if output, err := helm(t, "lint", "--strict", helmChart); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// A chart that ignored a misspelt value could leave the broker open.
func TestHelmChartRefusesUnknownValues(t *testing.T) {
	t.Parallel()
	output, err := helm(t, "template", helmChart, "--set", "alow=READ-ONLY")
	if err == nil || !strings.Contains(string(output), "alow") {
		t.Errorf("got the error %v, want one that names the misspelt value:\n%s", err, output)
	}
}
