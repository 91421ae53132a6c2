package fakeetrusted

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The bounds of what users of the demo can add. Beyond them the oldest entry is dropped.
const (
	maxRules             = 100
	maxInvitesPerChannel = 100 // for each channel
	maxInvites           = 100 // in one request
	maxTextLen           = 200 // bytes of a text in a request
)

// shop is the data of the API: fixed samples, and what requests can change.
type shop struct {
	// Fixed, read without the lock.
	channels         []channel
	channelsDocument document
	ratings          map[string]document // by channel
	reviews          []review            // newest first
	reviewList       []encodedItem       // the same, encoded
	reviewIndex      map[string]int      // by id

	mu         sync.Mutex
	eventTypes []eventType              // fixed in number
	rules      []inviteRule             // oldest first
	invites    map[string][]encodedItem // by channel, newest first
}

func newShop() *shop {
	s := &shop{
		channels:    sampleChannels(),
		ratings:     make(map[string]document),
		reviewIndex: make(map[string]int),
		eventTypes:  sampleEventTypes(),
		invites:     make(map[string][]encodedItem),
	}
	s.channelsDocument = newDocument(s.channels)
	s.reviews = sampleReviews(s.channels)
	for i, v := range s.reviews {
		s.reviewList = append(s.reviewList, encodedItem{id: v.ID, json: encode(v)})
		s.reviewIndex[v.ID] = i
	}
	for _, c := range s.channels {
		s.ratings[c.ID] = newDocument(aggregateRating(s.reviews, c.ID))
	}
	s.rules = []inviteRule{sampleInviteRule(s.eventTypes[0])}
	return s
}

// hasChannel reports whether a channel exists.
func (s *shop) hasChannel(id string) bool {
	return slices.ContainsFunc(s.channels, func(c channel) bool { return c.ID == id })
}

// getEventTypes answers GET /event-types.
func (s *shop) getEventTypes(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	types := slices.Clone(s.eventTypes)
	s.mu.Unlock()
	answerJSON(w, r, http.StatusOK, types)
}

// eventTypeAt returns the index of an event type, or -1; s.mu must be held.
func (s *shop) eventTypeAt(id string) int {
	return slices.IndexFunc(s.eventTypes, func(t eventType) bool { return t.ID == id })
}

// putEventType answers PUT /event-types/{id}; fields missing in the body stay unchanged.
func (s *shop) putEventType(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	var change struct {
		Name   *string `json:"name"`
		Active *bool   `json:"active"`
	}
	if !decode(w, body, &change) {
		return
	}
	s.mu.Lock()
	i := s.eventTypeAt(id)
	var changed eventType
	if i >= 0 {
		t := &s.eventTypes[i]
		if change.Name != nil {
			t.Name = truncateText(*change.Name)
		}
		if change.Active != nil {
			t.Active = *change.Active
		}
		t.UpdatedAt = timestamp(time.Now())
		changed = *t
	}
	s.mu.Unlock()
	if i < 0 {
		answerError(w, http.StatusNotFound, "there is no such event type")
		return
	}
	answerJSON(w, r, http.StatusOK, changed)
}

// postEvent answers POST /events. It accepts any JSON and stores nothing, because an event leads to an invite days
// later. The response has the id under both names that clients use.
func (s *shop) postEvent(w http.ResponseWriter, r *http.Request, body []byte) {
	if !json.Valid(body) {
		answerError(w, http.StatusBadRequest, "the body must be JSON")
		return
	}
	id := "evt-" + randomUUID()
	answerJSON(w, r, http.StatusCreated, struct {
		ID       string `json:"id"`
		EventRef string `json:"EventRef"`
		Message  string `json:"Message"`
	}{id, id, "event created"})
}

// getInviteRules answers GET /invite-rules: the rules grouped by event type, as documented.
func (s *shop) getInviteRules(w http.ResponseWriter, r *http.Request) {
	type group struct {
		ID     string       `json:"id"`
		Name   string       `json:"name"`
		Active bool         `json:"active"`
		Rules  []inviteRule `json:"rules"`
	}
	s.mu.Lock()
	groups := make([]group, 0, len(s.eventTypes))
	for _, t := range s.eventTypes {
		g := group{ID: t.ID, Name: t.Name, Active: t.Active, Rules: []inviteRule{}}
		for _, rule := range s.rules {
			if rule.EventTypeRef == t.ID {
				g.Rules = append(g.Rules, rule)
			}
		}
		groups = append(groups, g)
	}
	s.mu.Unlock()
	answerJSON(w, r, http.StatusOK, groups)
}

// ruleChange contains the fields of an invite rule in a request; missing fields stay unchanged.
type ruleChange struct {
	Name         *string `json:"name"`
	EventTypeRef *string `json:"eventTypeRef"`
	TemplateRef  *string `json:"templateRef"`
	SendingDelay *string `json:"sendingDelay"`
	TimeOfDay    *string `json:"timeOfDay"`
	Active       *bool   `json:"active"`
}

// apply changes rule and returns false if the event type does not exist; s.mu must be held.
func (s *shop) apply(c ruleChange, rule *inviteRule) bool {
	if c.EventTypeRef != nil && s.eventTypeAt(*c.EventTypeRef) < 0 {
		return false
	}
	for to, from := range map[*string]*string{
		&rule.Name:         c.Name,
		&rule.EventTypeRef: c.EventTypeRef,
		&rule.TemplateRef:  c.TemplateRef,
		&rule.SendingDelay: c.SendingDelay,
		&rule.TimeOfDay:    c.TimeOfDay,
	} {
		if from != nil {
			*to = truncateText(*from)
		}
	}
	if c.Active != nil {
		rule.Active = *c.Active
	}
	rule.UpdatedAt = timestamp(time.Now())
	return true
}

// postInviteRule answers POST /invite-rules. A rule without an event type is for the first one.
func (s *shop) postInviteRule(w http.ResponseWriter, r *http.Request, body []byte) {
	var change ruleChange
	if !decode(w, body, &change) {
		return
	}
	rule := inviteRule{ID: "irl-" + randomUUID(), SendingDelay: "P0D", TimeOfDay: "10:00:00Z", CreatedAt: timestamp(time.Now())}
	s.mu.Lock()
	rule.EventTypeRef = s.eventTypes[0].ID
	ok := s.apply(change, &rule)
	if ok {
		if len(s.rules) >= maxRules {
			s.rules = slices.Delete(s.rules, 0, len(s.rules)-maxRules+1)
		}
		s.rules = append(s.rules, rule)
	}
	s.mu.Unlock()
	if !ok {
		answerError(w, http.StatusBadRequest, "eventTypeRef names no event type")
		return
	}
	answerJSON(w, r, http.StatusCreated, rule)
}

// ruleAt returns the index of an invite rule, or -1; s.mu must be held.
func (s *shop) ruleAt(id string) int {
	return slices.IndexFunc(s.rules, func(rule inviteRule) bool { return rule.ID == id })
}

// putInviteRule answers PUT /invite-rules/{id}.
func (s *shop) putInviteRule(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	var change ruleChange
	if !decode(w, body, &change) {
		return
	}
	s.mu.Lock()
	i := s.ruleAt(id)
	var rule inviteRule
	ok := false
	if i >= 0 {
		rule = s.rules[i]
		if ok = s.apply(change, &rule); ok {
			s.rules[i] = rule
		}
	}
	s.mu.Unlock()
	switch {
	case i < 0:
		answerError(w, http.StatusNotFound, "there is no such invite rule")
	case !ok:
		answerError(w, http.StatusBadRequest, "eventTypeRef names no event type")
	default:
		answerJSON(w, r, http.StatusOK, rule)
	}
}

// deleteInviteRule answers DELETE /invite-rules/{id}.
func (s *shop) deleteInviteRule(w http.ResponseWriter, id string) {
	s.mu.Lock()
	i := s.ruleAt(id)
	if i >= 0 {
		s.rules = slices.Delete(s.rules, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		answerError(w, http.StatusNotFound, "there is no such invite rule")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// invite asks a customer for a review.
type invite struct {
	ID          string      `json:"id"`
	ChannelRef  string      `json:"channelRef"`
	State       string      `json:"state"`
	CreatedAt   string      `json:"createdAt"`
	Customer    customer    `json:"customer"`
	Transaction transaction `json:"transaction"`
}

// inviteRequest is what POST /invites takes.
type inviteRequest struct {
	Channel struct {
		ID string `json:"id"`
	} `json:"channel"`
	Invites []struct {
		Customer    customer    `json:"customer"`
		Transaction transaction `json:"transaction"`
	} `json:"invites"`
}

// postInvites answers POST /invites: the invites of one request are for one channel, the first if none is named.
func (s *shop) postInvites(w http.ResponseWriter, r *http.Request, body []byte) {
	var request inviteRequest
	if !decode(w, body, &request) {
		return
	}
	channelID := request.Channel.ID
	if channelID == "" {
		channelID = s.channels[0].ID
	}
	switch {
	case !s.hasChannel(channelID):
		answerError(w, http.StatusBadRequest, "channel.id names no channel")
		return
	case len(request.Invites) == 0 || len(request.Invites) > maxInvites:
		answerError(w, http.StatusBadRequest, "invites must be a list of 1 to 100")
		return
	}
	now := timestamp(time.Now())
	made := make([]invite, 0, len(request.Invites))
	encoded := make([]encodedItem, 0, len(request.Invites)+maxInvitesPerChannel)
	for _, wanted := range request.Invites {
		v := invite{
			ID:         "inv-" + randomUUID(),
			ChannelRef: channelID,
			State:      "SCHEDULED",
			CreatedAt:  now,
			Customer: customer{
				FirstName: truncateText(wanted.Customer.FirstName),
				LastName:  truncateText(wanted.Customer.LastName),
				Email:     truncateText(wanted.Customer.Email),
			},
			Transaction: transaction{Reference: truncateText(wanted.Transaction.Reference), Date: truncateText(wanted.Transaction.Date)},
		}
		made = append(made, v)
		encoded = append(encoded, encodedItem{id: v.ID, json: encode(v)})
	}
	slices.Reverse(encoded) // newest first
	s.mu.Lock()
	encoded = append(encoded, s.invites[channelID]...)
	s.invites[channelID] = slices.Clone(encoded[:min(len(encoded), maxInvitesPerChannel)]) // not modified later: readers share it
	s.mu.Unlock()
	answerJSON(w, r, http.StatusCreated, struct {
		Invites []invite `json:"invites"`
	}{made})
}

// getInvites answers GET /channels/{id}/invites.
func (s *shop) getInvites(w http.ResponseWriter, r *http.Request, id string) {
	if !s.hasChannel(id) {
		answerError(w, http.StatusNotFound, "there is no such channel")
		return
	}
	s.mu.Lock()
	invites := s.invites[id]
	s.mu.Unlock()
	page, err := paginate(r, r.URL.Query(), invites, func(int) bool { return true })
	if err != nil {
		answerError(w, http.StatusBadRequest, err.Error())
		return
	}
	answerDocument(w, r, http.StatusOK, page.document())
}

// postQuestionnaireLink answers POST /questionnaire-links with a URL that does not exist: .example never resolves.
func (s *shop) postQuestionnaireLink(w http.ResponseWriter, r *http.Request, body []byte) {
	var request struct {
		Type string `json:"type"`
	}
	if !decode(w, body, &request) {
		return
	}
	answerJSON(w, r, http.StatusCreated, struct {
		Link string `json:"link"`
	}{"https://questionnaires.etrusted.example/" + randomUUID()})
}

// truncateText truncates a text to maxTextLen at a character boundary. It copies, so that the rest can be freed.
func truncateText(text string) string {
	if len(text) <= maxTextLen {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:maxTextLen], ""))
}
