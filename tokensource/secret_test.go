package tokensource

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestSecretShowsOnlyItsSize(t *testing.T) {
	t.Parallel()
	const text = "canary-4711"
	type unexported struct{ hidden Secret }
	type exported struct{ Secret Secret }
	secret := NewSecret(text)
	for _, value := range []any{secret, &secret, unexported{secret}, &unexported{secret}, exported{secret}, []Secret{secret}, map[string]Secret{"a": secret}, Credentials{secret, secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
			out := fmt.Sprintf(verb, value)
			if strings.Contains(out, text) || strings.Contains(strings.ToLower(out), fmt.Sprintf("%x", text)) {
				t.Errorf("Sprintf(%q, %T) shows the text: %s", verb, value, out)
			}
		}
		out, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(out), text) {
			t.Errorf("JSON of %T shows the text: %s", value, out)
		}
	}
	if got, want := secret.String(), "(set, 11 bytes)"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	if got, want := (Secret{}).String(), "(not set)"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	if secret.Reveal() != text || (Secret{}).Reveal() != "" {
		t.Error("Reveal does not return the text")
	}
}

func TestSecretEqual(t *testing.T) {
	t.Parallel()
	a, again, b := NewSecret("a"), NewSecret("a"), NewSecret("b")
	if !a.Equal(again) || a.Equal(b) || a.Equal(Secret{}) || !(Secret{}).Equal(NewSecret("")) {
		t.Error("Equal does not compare the texts")
	}
	set := CredentialsAndEnvironment{Credentials: Credentials{ID: a, Secret: b}}
	if !set.Equal(CredentialsAndEnvironment{Credentials: Credentials{ID: again, Secret: b}}) || set.Equal(CredentialsAndEnvironment{Credentials: Credentials{ID: b, Secret: a}}) {
		t.Error("Equal does not compare the pairs")
	}
}
