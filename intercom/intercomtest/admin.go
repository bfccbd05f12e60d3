package intercomtest

import "net/http"

type adminDoc struct {
	Type             string  `json:"type"`
	ID               string  `json:"id"`
	Name             string  `json:"name"`
	Email            string  `json:"email"`
	AwayModeEnabled  bool    `json:"away_mode_enabled"`
	AwayModeReassign bool    `json:"away_mode_reassign"`
	HasInboxSeat     bool    `json:"has_inbox_seat"`
	TeamIDs          []int64 `json:"team_ids"`
}

// admin returns the admin with the id, if there is one.
func (s *Server) admin(id string) (Admin, bool) {
	if a, ok := s.admins[id]; ok {
		return a, true
	}
	return Admin{ID: id, Name: "Admin " + id, Email: "admin" + id + "@example.com"}, s.cfg.AnyAdmin
}

// retrieveAdmin is GET /admins/{id}. Admins do not change, so it needs no lock.
func (s *Server) retrieveAdmin(c *call, id string) answer {
	a, ok := s.admin(id)
	if !ok {
		return (&failure{http.StatusNotFound, "admin_not_found", "Admin not found", ""}).answer(c.requestID)
	}
	return document(http.StatusOK, adminDoc{
		Type: "admin", ID: a.ID, Name: a.Name, Email: a.Email, HasInboxSeat: true, TeamIDs: []int64{},
	})
}
