package intercomtest

import "net/http"

type meDoc struct {
	Type          string    `json:"type"`
	ID            string    `json:"id"`
	Email         string    `json:"email"`
	Name          string    `json:"name"`
	EmailVerified bool      `json:"email_verified"`
	App           appDoc    `json:"app"`
	Avatar        avatarDoc `json:"avatar"`
	HasInboxSeat  bool      `json:"has_inbox_seat"`
}

type appDoc struct {
	Type                 string `json:"type"`
	IDCode               string `json:"id_code"`
	Name                 string `json:"name"`
	CreatedAt            int64  `json:"created_at"`
	Secure               bool   `json:"secure"`
	IdentityVerification bool   `json:"identity_verification"`
	Timezone             string `json:"timezone"`
	Region               string `json:"region"`
}

type avatarDoc struct {
	Type     string  `json:"type"`
	ImageURL *string `json:"image_url"`
}

// appCreatedAt is when every fake workspace was made: a fixed time, so that
// answers are the same from run to run.
const appCreatedAt = 1_734_537_243

// identify is GET /me: the first admin is the one behind the token.
func (s *Server) identify() answer {
	a := s.cfg.Admins[0]
	return document(http.StatusOK, meDoc{
		Type: "admin", ID: a.ID, Email: a.Email, Name: a.Name, EmailVerified: true, HasInboxSeat: true,
		Avatar: avatarDoc{Type: "avatar"},
		App: appDoc{
			Type: "app", IDCode: s.cfg.AppID, Name: "Fake workspace", CreatedAt: appCreatedAt,
			Timezone: "America/Los_Angeles", Region: s.cfg.Region,
		},
	})
}
