package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/printable"
)

// statusCommand prints the state of the running broker. It succeeds if the broker is ready.
func statusCommand(ctx context.Context, i *invocation) error {
	flags := i.flags()
	asJSON := flags.Bool("json", false, "print the whole /status.json: see docs/status.md")
	if err := i.parseNoArgs(flags); err != nil {
		return err
	}
	status, err := i.runningStatus(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		printLine(i.stdout, "%s", printable.Escape(status.document, math.MaxInt))
	} else {
		for _, line := range status.lines() {
			printLine(i.stdout, "%s", printable.Escape(line, maxPrintedReplyLength))
		}
	}
	if !status.Ready {
		return exitError{code: exitFailure}
	}
	return nil
}

func (i invocation) runningStatus(ctx context.Context) (status brokerStatus, err error) {
	address, err := i.adminAddress()
	if err != nil {
		return status, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	status, err = readStatus(ctx, listenerTarget{network: "tcp", address: address})
	switch {
	case errors.Is(err, errNotBrokerOfThisVersion):
		err = fmt.Errorf("%s %w", address, err)
	case err != nil:
		err = noAnswerError(address, err)
	}
	return status, err
}

// brokerStatus is the part of /status.json that the commands use: see docs/status.md. Its texts may be another program's.
type brokerStatus struct {
	admin.Diagnosis
	Version        string
	Ready          bool
	NotReadyReason string `json:"not_ready_reason"`
	Components     admin.Components
	Accounts       []struct {
		Account    string
		TokenValid bool `json:"token_valid"`
	}
	AllowList admin.SuggestedAllowList `json:"allow_list"`
	document  string                   // in one line
}

// errNotBrokerOfThisVersion means that no broker of this version listens at an address.
var errNotBrokerOfThisVersion = errors.New("is in use by another program, or by a broker of another version")

// readStatus reads the status from a broker's admin listener. Its error is errNotBrokerOfThisVersion if another program responds.
func readStatus(ctx context.Context, l listenerTarget) (status brokerStatus, err error) {
	// An account takes up to 15 kB, with a token request in each minute of the last hour, so this is enough for a thousand.
	const maxStatus = 16 << 20
	code, _, body, err := l.get(ctx, "/status.json", maxStatus)
	if err != nil {
		return status, err
	}
	var document bytes.Buffer
	if code != http.StatusOK || json.Compact(&document, body) != nil || json.Unmarshal(body, &status) != nil || status.Version == "" || status.Accounts == nil {
		return status, errNotBrokerOfThisVersion
	}
	status.document = document.String()
	return status, nil
}

// lines returns the state in five lines, and two more if something is wrong: why, and what to do.
func (s brokerStatus) lines() []string {
	accounts := fmt.Sprintf("%d", len(s.Accounts))
	var failing []string
	for _, account := range s.Accounts {
		if !account.TokenValid {
			failing = append(failing, account.Account)
		}
	}
	if len(failing) > 0 {
		accounts += ", without a valid token: " + strings.Join(failing, ", ")
	}
	lines := []string{"verdict:       " + s.Summary}
	if s.State != admin.BrokerWorking && s.Advice != "" {
		lines = append(lines, "why:           "+s.Detail, "what to do:    "+s.Advice)
	}
	return append(lines,
		"login server:  "+describeComponent(s.Components.LoginServer),
		"token:         "+describeComponent(s.Components.Token),
		"API:           "+describeComponent(s.Components.API),
		"accounts:      "+accounts,
	)
}

func describeComponent(c admin.Component) string {
	if c.State == "" {
		return "not known" // to a broker of another version
	}
	text := string(c.State) + ", " + c.Summary
	if c.LatencySeconds > 0 {
		text += fmt.Sprintf(" (%.0f ms)", 1000*c.LatencySeconds)
	}
	if !c.Since.IsZero() {
		text += " since " + c.Since.UTC().Format(time.DateTime) + " UTC"
	}
	return text
}
