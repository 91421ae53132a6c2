package fakeetrusted

import (
	"crypto/sha256"
	"fmt"
	"math"
	"strconv"
	"time"
)

// The sample data is that of an invented shop. It is the same in every run, so that tests can rely on it. Its texts
// have umlauts, accents and quotes on purpose.

// newestReviewTime is the time of the newest review. It is fixed, so that the data is the same in every run.
var newestReviewTime = time.Date(2026, time.June, 30, 14, 5, 9, 0, time.UTC)

// reviewsPerChannel adds up to 60 reviews: six pages of the default size.
var reviewsPerChannel = []int{30, 18, 12}

const accountRef = "acc-5b1f7c62-6d0e-4f0e-9a51-0d4f3c1b7a90"

// channel is one shop in one country.
type channel struct {
	ID         string `json:"id"`
	CreatedAt  string `json:"createdAt"`
	UpdatedAt  string `json:"updatedAt"`
	Name       string `json:"name"`
	Address    string `json:"address"`
	URL        string `json:"url"`
	LogoURL    string `json:"logoUrl"`
	AccountRef string `json:"accountRef"`
	Locale     string `json:"locale"`
}

func sampleChannels() []channel {
	made := func(tld, locale, name, address string) channel {
		base := "https://www.teehaus-nordwind." + tld + ".example"
		return channel{
			ID:         "chl-" + stableUUID("channel "+tld),
			CreatedAt:  "2023-03-14T09:26:53.000Z",
			UpdatedAt:  "2026-01-20T16:40:00.000Z",
			Name:       name,
			Address:    address,
			URL:        base + "/",
			LogoURL:    base + "/logo.png",
			AccountRef: accountRef,
			Locale:     locale,
		}
	}
	return []channel{
		made("de", "de_DE", "Teehaus Nordwind Deutschland", "Speicherstraße 12, 20457 Hamburg"),
		made("at", "de_AT", "Teehaus Nordwind Österreich", "Gumpendorfer Gasse 7, 1060 Wien"),
		made("fr", "fr_FR", "Maison de thé Nordwind France", "3 rue des Écoles, 67000 Strasbourg"),
	}
}

// review is a customer's review.
type review struct {
	ID               string        `json:"id"`
	AccountRef       string        `json:"accountRef"`
	ChannelRef       string        `json:"channelRef"`
	Rating           int           `json:"rating"`
	Title            string        `json:"title"`
	Comment          string        `json:"comment"`
	CreatedAt        string        `json:"createdAt"`
	UpdatedAt        string        `json:"updatedAt"`
	SubmittedAt      string        `json:"submittedAt"`
	State            string        `json:"state"`
	Type             string        `json:"type"`
	VerificationType string        `json:"verificationType"`
	Customer         customer      `json:"customer"`
	Transaction      transaction   `json:"transaction"`
	Questionnaire    questionnaire `json:"questionnaire"`

	submitted time.Time
}

type customer struct {
	FirstName string `json:"firstName,omitempty"`
	LastName  string `json:"lastName,omitempty"`
	Email     string `json:"email,omitempty"`
}

type transaction struct {
	Reference string `json:"reference,omitempty"`
	Date      string `json:"date,omitempty"`
}

type questionnaire struct {
	ID     string `json:"id"`
	Locale string `json:"locale"`
}

// opinion is a text that fits a rating.
type opinion struct {
	rating         int
	title, comment string
}

var (
	germanOpinions = []opinion{
		{5, "Sehr gerne wieder", "Schnelle Lieferung, liebevoll verpackt. Der Ostfriesentee schmeckt wie an der Küste."},
		{5, "Großartig", "Größere Auswahl als im Laden, und die Beratung am Telefon war „spitze“."},
		{4, "Gut", "Alles da & gut verpackt, nur die Teedose hatte eine kleine Beule."},
		{5, "Top", "Bestellt am Montag, geliefert am Mittwoch. So soll es sein."},
		{3, "Geht so", "Der Tee ist gut, die Lieferung hat aber neun Tage gedauert."},
		{4, "Zufrieden", "Übersichtlicher Shop, faire Preise."},
		{1, "Leider enttäuscht", "Falsche Sorte erhalten; auf die Antwort warte ich noch."},
	}
	frenchOpinions = []opinion{
		{5, "Parfait", "Livraison rapide, thé délicieux. L’emballage sent déjà bon."},
		{4, "Très bien", "Large choix et bons prix, à recommander."},
		{5, "Excellent", "Le Darjeeling de printemps est une découverte."},
		{2, "Déçu", "Le colis est arrivé ouvert, mais l’échange s’est bien passé."},
	}
	firstNames = []string{"Anke", "Jürgen", "Zoë", "Matthieu", "Søren", "Leïla", "Björn", "Chloé", "Nuray", "Felix", "Ida"}
	lastNames  = []string{"Petersen", "Groß", "Lefèvre", "Yılmaz", "O’Connor", "Huber", "Müller-Lüdenscheidt"}
)

// sampleReviews returns the reviews of all channels, newest first.
func sampleReviews(channels []channel) []review {
	left := append([]int(nil), reviewsPerChannel...)
	total := 0
	for _, n := range left {
		total += n
	}
	reviews := make([]review, 0, total)
	at := newestReviewTime
	for i := range total {
		// Distribute the channels in proportion to their remaining reviews, so that each page has all of them.
		c := 0
		for j := range left {
			if left[j]*reviewsPerChannel[c] > left[c]*reviewsPerChannel[j] {
				c = j
			}
		}
		left[c]--
		reviews = append(reviews, sampleReview(i, channels[c], at))
		at = at.Add(-time.Duration(31+i%17) * time.Hour).Add(-time.Duration(i*137%3600) * time.Second)
	}
	return reviews
}

func sampleReview(i int, c channel, at time.Time) review {
	opinions := germanOpinions
	if c.Locale == "fr_FR" {
		opinions = frenchOpinions
	}
	o := opinions[i*5%len(opinions)]
	first, last := firstNames[i%len(firstNames)], lastNames[i*3%len(lastNames)]
	return review{
		ID:               "rev-" + stableUUID("review "+strconv.Itoa(i)),
		AccountRef:       accountRef,
		ChannelRef:       c.ID,
		Rating:           o.rating,
		Title:            o.title,
		Comment:          o.comment,
		CreatedAt:        timestamp(at),
		UpdatedAt:        timestamp(at),
		SubmittedAt:      timestamp(at),
		State:            "APPROVED",
		Type:             "SERVICE_REVIEW",
		VerificationType: "VERIFIED",
		Customer:         customer{FirstName: first, LastName: last, Email: fmt.Sprintf("customer%d@example.com", i+1)},
		Transaction:      transaction{Reference: fmt.Sprintf("NW-%06d", 104200-i*7), Date: timestamp(at.AddDate(0, 0, -9))},
		Questionnaire:    questionnaire{ID: "qnr-" + stableUUID("questionnaire "+strconv.Itoa(i)), Locale: c.Locale},
		submitted:        at,
	}
}

// rating is the aggregate over one period.
type rating struct {
	Count        int            `json:"count"`
	Rating       float64        `json:"rating"` // the mean with two decimals; 0 without reviews
	Distribution map[string]int `json:"distribution"`
	Period       period         `json:"period"`
}

type period struct {
	Start        string `json:"start,omitempty"`
	End          string `json:"end"`
	CalculatedAt string `json:"calculatedAt"`
}

// aggregateRating aggregates one channel's reviews, as of the day after the newest review.
func aggregateRating(reviews []review, channelID string) map[string]rating {
	now := newestReviewTime.Truncate(24*time.Hour).AddDate(0, 0, 1)
	out := make(map[string]rating)
	for name, days := range map[string]int{"7days": 7, "30days": 30, "90days": 90, "365days": 365, "overall": 0} {
		p := period{End: timestamp(now), CalculatedAt: timestamp(now)}
		var start time.Time
		if days > 0 {
			start = now.AddDate(0, 0, -days)
			p.Start = timestamp(start)
		}
		out[name] = rate(reviews, channelID, start, p)
	}
	return out
}

func rate(reviews []review, channelID string, start time.Time, p period) rating {
	out := rating{Distribution: map[string]int{"1": 0, "2": 0, "3": 0, "4": 0, "5": 0}, Period: p}
	sum := 0
	for _, v := range reviews {
		if v.ChannelRef == channelID && !v.submitted.Before(start) {
			out.Count++
			out.Distribution[strconv.Itoa(v.Rating)]++
			sum += v.Rating
		}
	}
	if out.Count > 0 {
		out.Rating = math.Round(100*float64(sum)/float64(out.Count)) / 100
	}
	return out
}

// eventType is a kind of event in a shop that may lead to an invite.
type eventType struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Active    bool   `json:"active"`
	Default   bool   `json:"default"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
}

func sampleEventTypes() []eventType {
	var out []eventType
	for i, name := range []string{"checkout", "shipped", "delivered"} {
		out = append(out, eventType{
			ID:        "ety-" + stableUUID("event type "+name),
			Name:      name,
			Active:    i < 2,
			Default:   i == 0,
			CreatedAt: "2023-03-14T09:30:00.000Z",
			UpdatedAt: "2023-03-14T09:30:00.000Z",
		})
	}
	return out
}

// inviteRule says when an event leads to an invite.
type inviteRule struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	EventTypeRef string `json:"eventTypeRef"`
	TemplateRef  string `json:"templateRef,omitempty"`
	SendingDelay string `json:"sendingDelay"`
	TimeOfDay    string `json:"timeOfDay"`
	Active       bool   `json:"active"`
	CreatedAt    string `json:"createdAt"`
	UpdatedAt    string `json:"updatedAt"`
}

func sampleInviteRule(t eventType) inviteRule {
	return inviteRule{
		ID:           "irl-" + stableUUID("invite rule for "+t.Name),
		Name:         "Five days after " + t.Name,
		EventTypeRef: t.ID,
		TemplateRef:  "ivt-" + stableUUID("invite template"),
		SendingDelay: "P5D",
		TimeOfDay:    "10:00:00Z",
		Active:       true,
		CreatedAt:    "2023-03-14T09:31:00.000Z",
		UpdatedAt:    "2023-03-14T09:31:00.000Z",
	}
}

// timestamp formats a time as the API does: UTC, with milliseconds.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// stableUUID returns the same UUID for a name in every run.
func stableUUID(name string) string {
	sum := sha256.Sum256([]byte("etrusted stand-in: " + name))
	return formatUUID([16]byte(sum[:16]), 8) // version 8: custom
}
