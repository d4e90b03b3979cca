/* rename.h - gives the oracle names of its own: every public tier_X becomes oracle_X.
 *
 * The oracle is compiled with -include tests/oracle/rename.h where a test links it beside the library. Such a
 * test includes tests/oracle/both.h for the prototypes. tests/oracle/run.sh finds a missing name. */
#ifndef TESTS_ORACLE_RENAME_H
#define TESTS_ORACLE_RENAME_H
#define tier_strerror oracle_strerror
#define tier_errname oracle_errname
#define tier_next oracle_next
#define tier_open oracle_open
#define tier_close oracle_close
#define tier_cache_detail oracle_cache_detail
#define tier_flush oracle_flush
#define tier_path_in oracle_path_in
#define tier_path_out oracle_path_out
#define tier_define oracle_define
#define tier_undefine oracle_undefine
#define tier_out_object oracle_out_object
#define tier_out_bytes oracle_out_bytes
#define tier_out_record oracle_out_record
#define tier_out_hold oracle_out_hold
#define tier_fail oracle_fail
#define tier_once oracle_once
#define tier_tag oracle_tag
#define tier_expires oracle_expires
#define tier_begin oracle_begin
#define tier_fork oracle_fork
#define tier_end oracle_end
#define tier_session_id oracle_session_id
#define tier_cancel oracle_cancel
#define tier_cancelled oracle_cancelled
#define tier_detail oracle_detail
#define tier_file oracle_file
#define tier_stat oracle_stat
#define tier_stat_fields oracle_stat_fields
#define tier_realpath oracle_realpath
#define tier_list oracle_list
#define tier_env oracle_env
#define tier_config oracle_config
#define tier_input oracle_input
#define tier_read_elsewhere oracle_read_elsewhere
#define tier_get oracle_get
#define tier_peek oracle_peek
#define tier_release oracle_release
#define tier_detach oracle_detach
#define tier_previous oracle_previous
#define tier_edits oracle_edits
#define tier_set_input oracle_set_input
#define tier_overlay oracle_overlay
#define tier_invalidate oracle_invalidate
#define tier_invalidate_pattern oracle_invalidate_pattern
#define tier_sync oracle_sync
#define tier_stream_open oracle_stream_open
#define tier_stream_fd oracle_stream_fd
#define tier_stream_next oracle_stream_next
#define tier_stream_close oracle_stream_close
#define tier_warm oracle_warm
#define tier_explain oracle_explain
#define tier_stats oracle_stats
#endif
