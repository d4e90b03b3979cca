/* conformance.c - the contract of include/tierkit.h, clause by clause.
 *
 * Linked with the library it is the library's acceptance test; with TEST_ORACLE defined and linked with
 * tests/oracle it shows that the oracle keeps the same contract. What holds for one side only is guarded by
 * that macro. The tests are in the headers beside this file, one for each part of the contract. */
#include "tests/conformance/world.h"
#include "tests/conformance/opening.h"
#include "tests/conformance/reading.h"
#include "tests/conformance/building.h"
#include "tests/conformance/forks.h"
#include "tests/conformance/objects.h"
#include "tests/conformance/keeping.h"
#include "tests/conformance/outside.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    TEST(errors_have_names),
    TEST(open_refuses_bad_arguments),
    TEST(open_defaults_to_the_working_directory),
    TEST(works_with_any_flag_and_directory),
    TEST(null_cache_keeps_nothing),
    TEST(close_is_busy_while_used),
    TEST(paths_go_in_and_out),
    TEST(define_names_what_is_wrong),
    TEST(definitions_are_copied_and_config_counts),
    TEST(stats_have_names),
    TEST(allocations_are_the_hooks),
    TEST(a_forked_process_opens_anew),
    TEST(files_are_read_once),
    TEST(bytes_may_be_any),
    TEST(absence_and_failure_are_frozen),
    TEST(a_file_below_a_file_is_absent),
    TEST(content_that_left_is_a_change),
    TEST(kinds),
    TEST(fifos_and_devices_never_block),
    TEST(stat_gives_the_named_fields),
    TEST(links_are_followed),
    TEST(realpath_knows_the_roots),
    TEST(paths_fold),
    TEST(odd_names_work),
    TEST(very_long_paths_work),
    TEST(rights_are_respected),
    TEST(lists_match_globs),
    TEST(lists_are_frozen_and_fail_cleanly),
    TEST(lists_name_their_root),
    TEST(environment_is_frozen),
    TEST(settings_are_read),
    TEST(inputs_are_of_the_begin),
    TEST(others_readings_are_compared),
    TEST(records_are_told_from_text),
    TEST(a_get_builds_once),
    TEST(arguments_are_bytes),
    TEST(records_come_back),
    TEST(an_empty_result_is_one),
    TEST(value_hashes_are_of_the_bytes),
    TEST(gets_refuse_bad_queries),
    TEST(bad_input_is_remembered),
    TEST(failures_handed_on_are_remembered),
    TEST(other_failures_are_not),
    TEST(a_lower_tier_is_refused),
    TEST(a_build_reads_its_own_tier_and_upper_ones),
    TEST(cancellation_sticks),
    TEST(deadlines_stick),
    TEST(changes_stick),
    TEST(what_tools_read_is_digested_twice),
    TEST(what_tools_read_in_forks_is_digested_twice),
    TEST(forks_end_before_their_build),
    TEST(cycles_are_clean_errors),
    TEST(cycles_over_two_threads_are_found),
    TEST(nesting_is_bounded),
    TEST(one_build_for_all_threads),
    TEST(waiters_do_not_inherit_cancellation),
    TEST(a_forks_reads_are_the_builds),
    TEST(a_build_and_its_forks_ask_for_the_same),
    TEST(own_sessions_do_not_hide_a_cycle),
    TEST(equal_files_share_a_path_free_value),
    TEST(path_free_builds_read_no_files),
    TEST(path_free_builds_ask_by_bytes),
    TEST(objects_live_with_what_they_point_into),
    TEST(objects_of_failed_builds_are_destroyed),
    TEST(fingerprints_are_the_value_hash),
    TEST(undefine_waits_for_loans),
    TEST(exclusive_objects_are_lent),
    TEST(saved_objects_come_back),
    TEST(sayings_need_a_build),
    TEST(once_is_not_kept),
    TEST(expired_results_are_misses),
    TEST(no_answer_outlives_what_it_read),
    TEST(functions_are_memoised_until_they_expire),
    TEST(invalidated_results_are_misses),
#ifndef TEST_ORACLE
    TEST(results_outlive_their_session),
    TEST(equal_fingerprints_cut_off),
#endif
    TEST(sessions_are_told_apart),
    TEST(details_end_with_the_next_call),
    TEST(forks_share_the_view),
    TEST(two_sessions_are_two_views),
    TEST(cancelling_reaches_the_forks),
    TEST(newer_changes_cancel_where_asked),
    TEST(deadlines_pass),
    TEST(overlays_are_unsaved_buffers),
    TEST(overlays_need_no_file),
    TEST(overlays_bring_no_directories),
    TEST(changes_are_events),
    TEST(writes_are_events),
    TEST(results_are_events),
    TEST(invalidations_are_events),
    TEST(what_is_lost_is_a_gap),
    TEST(streams_refuse_bad_options),
    TEST(warming_reads_ahead),
    TEST(warming_keeps_to_its_budget),
    TEST(peeking_never_builds),
    TEST(edits_and_previous_are_hints),
    TEST(explaining_says_something),
};

int main(void)
{
    return cmocka_run_group_tests_name("conformance", tests, NULL, NULL);
}
