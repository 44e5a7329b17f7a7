package conformance

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// recorded are the answers that were recorded from real engines, each of which is
// a behaviour.
const recorded = `
apiversion_1.10 apiversion_1.12 apiversion_1.20 apiversion_1.23 apiversion_1.24 apiversion_1.39
apiversion_1.44 apiversion_1.99 apiversion_2.0 apiversion_9.9 apiversion_malformed_1 apiversion_malformed_x
apiversion_malformed_1.41.1 page_not_found method_not_allowed method_not_allowed_put noswarm_services
noswarm_service noswarm_nodes noswarm_swarm noswarm_secrets noswarm_configs noswarm_tasks
noswarm_service_create noswarm_service_logs noswarm_unlockkey noswarm_leave noswarm_unlock
noswarm_overlay_create noswarm_secret_create init_bad_addr init_bad_json join_bad_token init_again join_again
leave_manager_noforce secret_create_dup secret_create_badname secret_create_noname secret_create_empty
secret_create_toobig_1.1MB secret_inspect_missing secret_list_badfilter secret_update_labels
secret_update_stale_version secret_update_data secret_create_501KB secret_delete_missing config_create_dup
config_create_badname config_create_noname config_create_empty config_create_toobig_1.1MB
config_inspect_missing config_list_badfilter config_update_stale_version config_update_data
config_delete_missing service_create_ok service_create_tty service_create_global service_create_duplicate
service_create_badname service_create_longname service_create_noname service_create_noimage
service_create_badimage_ref service_create_nonexistent_image service_create_no_containerspec
service_create_empty_object service_create_missing_secret service_create_secret_noid
service_create_secret_wrongname service_create_secret_nofile service_create_missing_config
service_create_missing_network service_create_bridge_network service_create_bad_constraint
service_create_bad_constraint_key service_create_two_modes service_create_job_updateconfig
service_create_port_ok service_create_port_conflict service_create_dnsrr_ingress service_create_dup_mount
service_create_bad_mount service_create_neg_resources service_create_bad_restart service_create_neg_update
service_create_bad_failure_action service_create_bad_json service_create_wrong_type
service_create_trailing_json service_create_no_body service_create_empty_body service_create_unknown_field
service_create_content_type_text service_create_content_type_missing registry_auth_notbase64
registry_auth_pull_notbase64 registry_auth_distribution_notbase64 registry_auth_notjson
registry_auth_pull_notjson registry_auth_distribution_notjson registry_auth_empty registry_auth_pull_empty
registry_auth_distribution_empty registry_auth_emptyobj registry_auth_pull_emptyobj
registry_auth_distribution_emptyobj registry_auth_ok registry_auth_pull_ok registry_auth_distribution_ok
registry_auth_std_base64_padding registry_auth_pull_std_base64_padding
registry_auth_distribution_std_base64_padding registry_auth_urlsafe_nopad registry_auth_pull_urlsafe_nopad
registry_auth_distribution_urlsafe_nopad service_inspect_missing service_inspect_ambiguous_trynothing
service_inspect_baddefaults service_list_badstatus service_list_badfilter service_list_badfilter_json
service_list_badfilter_string task_inspect_missing task_list_badfilter task_list_filter_badservice
task_list_filter_bad_desired service_update_wrong_version service_update_future_version
service_update_no_version service_update_bad_version service_update_missing service_update_rename
service_update_mode service_update_rollback_none service_update_rollback_bad service_update_badauthfrom
service_update_badjson service_update_registry_auth_malformed service_update_noimage service_update_ok
service_update_stale_after_ok service_update_failing service_create_job service_create_globaljob
service_create_badjob logs_nostream logs_missing logs_badsince logs_badtail logs_task_missing
logs_container_missing secret_delete_inuse config_delete_inuse node_inspect_self node_inspect_missing
node_list_badfilter node_update_stale node_update_badavail node_demote_last node_delete_self
node_delete_self_force node_delete_missing network_create_dup network_inspect_missing service_create_on_ov1
network_delete_inuse network_delete_missing swarm_update_stale swarm_update_noversion swarm_rotate_worker
swarm_unlock_notlocked service_delete_missing service_delete_ok service_delete_again events_bad_since
events_since_after_until service_inspect_ambiguous service_delete_ambiguous service_update_ambiguous
logs_ambiguous after_leave_services
`

func TestEveryRecordedAnswerIsABehaviour(t *testing.T) {
	for _, name := range strings.Fields(recorded) {
		assert.Contains(t, ids(), "answer."+name)
	}
}

func TestEveryRuleHasABehaviour(t *testing.T) {
	for rule := 1; rule <= 27; rule++ {
		prefix := fmt.Sprintf("A%d.", rule)
		assert.Condition(t, func() bool {
			for _, id := range ids() {
				if strings.HasPrefix(id, prefix) {
					return true
				}
			}
			return false
		}, prefix)
	}
}

func TestBehavioursAreNamedOnceAndAsOneSubtest(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range All() {
		assert.False(t, seen[b.ID], b.ID)
		assert.Regexp(t, regexp.MustCompile(`^[A-Za-z0-9]+\.[A-Za-z0-9._-]+$`), b.ID)
		assert.NotNil(t, b.Run, b.ID)
		seen[b.ID] = true
	}
	assert.GreaterOrEqual(t, len(seen), 200)
}

func TestExpectationsAreThoseOfTheNewestReleaseThatIsNotNewer(t *testing.T) {
	table := since[string]{"20.10": "a", "26.1": "b", "28.5": "c", "29.5": "d"}
	for release, want := range map[string]string{"20.10": "a", "24.0": "a", "26.1": "b", "27.5": "b", "28.5": "c", "29.0": "c", "29.5": "d", "30.1": "d"} {
		assert.Equal(t, want, table.from(&T{T: t, target: Target{Release: release}}), release)
	}
}

func TestVersionsAreComparedAsNumbers(t *testing.T) {
	assert.Negative(t, compareVersions("1.9", "1.41"))
	assert.Positive(t, compareVersions("2.0", "1.99"))
	assert.Zero(t, compareVersions("1.41", "1.41"))
}

func TestAnswersAreWrittenByWhatTheyAre(t *testing.T) {
	for want, a := range map[string]answer{
		"404 no":                   {status: 404, contentType: "application/json", body: []byte(`{"message":"no"}`)},
		"200 json":                 {status: 200, contentType: "application/json", body: []byte("[]\n")},
		"200 empty":                {status: 200},
		"400 (text/plain) old":     {status: 400, contentType: "text/plain", body: []byte("old\n")},
		"200 (application/json) {": {status: 200, contentType: "application/json", body: []byte("{")},
		`500 (application/json) {"message":"no","more":1}`: {status: 500, contentType: "application/json", body: []byte(`{"message":"no","more":1}`)},
	} {
		assert.Equal(t, want, a.String())
	}
}

func TestPathsLeadThroughObjectsAndLists(t *testing.T) {
	object := obj{}
	set("A.B", list{obj{"C": 1}})(object)
	assert.Equal(t, 1, at(object, "A.B.0.C"))
	assert.Nil(t, at(object, "A.B.1.C"))
	assert.Nil(t, at(object, "A.B.x"))
	assert.Nil(t, at(object, "A.B.0.C.D"))
	drop("A.B")(object)
	assert.Equal(t, obj{"A": obj{}}, object)
}

func TestFramesAreTakenApart(t *testing.T) {
	body := []byte("\x01\x00\x00\x00\x00\x00\x00\x02a\n\x02\x00\x00\x00\x00\x00\x00\x00")
	assert.Equal(t, []frame{{1, "a\n"}, {2, ""}}, (&T{T: t}).frames(body))
}

func TestEveryPlaceholderOfTheTableIsKnown(t *testing.T) {
	known := (&T{T: t}).scenery()
	for _, row := range answerRows {
		text := row.request + row.body
		for _, want := range row.want {
			text += want
		}
		for _, found := range placeholder.FindAllString(text, -1) {
			kind, _, _ := strings.Cut(strings.Trim(found, "{}"), ".")
			assert.Contains(t, known, kind, row.name)
		}
	}
}

func ids() []string {
	var ids []string
	for _, b := range All() {
		ids = append(ids, b.ID)
	}
	return ids
}
