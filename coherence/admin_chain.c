/* admin_chain.c - the chain of causes, from records alone: as because.c tells it in a program that has the
 * types, for tiercheck, which has not. */
#include "coherence/admin_tell.h"

enum { STEPS_MAX = 64 };
static const char result_of[] = "result of ";

/* The record of the request that the cause names, among those that d read. */
static bool record_of_cause(struct tier__tell *t, const struct tier__variant_record *d,
                            struct tier__buf *record, struct tier__buf *label)
{
    struct tier__at at = {.store = t->a->store};
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    for (uint32_t e = 0; e < d->edge_count; e++) {
        struct tier__name_record n;
        struct tier__request_record q;
        uint32_t id = tier__read_u32(&r);
        tier__read_u32(&r);
        if (!tier__names_get(&t->names, id, &n) || n.kind != TIER__K_RESULT ||
            n.name_size != sizeof(tier_digest))
            continue;
        tier__buf_clear(record);
        if (tier__at_get(&at, TIER__VARIANT, n.name, n.name_size, record))
            continue;
        struct tier__reader of = tier__reader_of(record->data, record->size);
        if (!tier__get_node(&of, &q))
            continue;
        tier__buf_clear(label);
        tier__request_text(&q.request, q.type, label);
        if (!label->failed && strcmp((char *)label->data, d->cause + strlen(result_of)) == 0)
            return true;
    }
    return false;
}

/* As run_that_changed in because.c: the first run with the new value after the last with the old one. */
static bool run_that_changed(const struct tier__buf *record, const struct tier__variant_record *above,
                             struct tier__variant_record *out)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    int64_t last_old = INT64_MIN;
    bool found = false;
    for (int pass = 0; pass < 2; pass++) {
        struct tier__reader r = tier__reader_of(record->data, record->size);
        if (!tier__get_node(&r, &q))
            return false;
        for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--) {
            if (d.created_ms > above->created_ms)
                continue;
            if (!pass && d.created_ms > last_old && tier__digest_equal(&d.hash, &above->was))
                last_old = d.created_ms;
            if (!pass || !tier__digest_equal(&d.hash, &above->is))
                continue;
            bool better = !found || (out->created_ms < last_old
                                         ? d.created_ms > out->created_ms
                                         : d.created_ms >= last_old && d.created_ms <= out->created_ms);
            if (better)
                *out = d;
            found = true;
        }
    }
    return found;
}

static void tell_step(struct tier__tell *t, const struct tier__buf *label,
                      const struct tier__variant_record *d, int depth)
{
    const char *cause = *d->cause ? d->cause : "not recorded";
    struct tier__buf was, is;
    tier__buf_init(&was, t->a->base);
    tier__buf_init(&is, t->a->base);
    tier__digest_text(&d->was, &was);
    tier__digest_text(&d->is, &is);
    if (t->json) {
        tier__buf_printf(&t->out, "%s{\"request\":", depth > 1 ? "," : "");
        tier__json_string(&t->out, label->data, label->size);
        tier__buf_printf(&t->out, ",\"at_ms\":%lld,\"what\":", (long long)d->created_ms);
        tier__json_text(&t->out, cause);
        tier__buf_printf(&t->out, ",\"was\":\"%s\",\"is\":\"%s\"}", was.failed ? "" : (char *)was.data,
                         is.failed ? "" : (char *)is.data);
    } else if (!was.failed && !is.failed) {
        size_t from = t->out.size;
        tier__buf_printf(&t->out, "    %*s%s was computed because: %s was %s and became %s, at ", depth * 2,
                         "", (char *)label->data, cause, (char *)was.data, (char *)is.data);
        tier__when_text(d->created_ms, &t->out);
        tier__buf_show(&t->out, from);
        tier__buf_u8(&t->out, '\n');
    }
    tier__buf_fini(&was);
    tier__buf_fini(&is);
}

void tier__tell_chain(struct tier__tell *t, const struct tier__variant_record *first)
{
    struct tier__variant_record d = *first, next;
    struct tier__buf record[2], label; /* the one that d points into, and the next one */
    tier__buf_init(&record[0], t->a->base);
    tier__buf_init(&record[1], t->a->base);
    tier__buf_init(&label, t->a->base);
    if (t->json)
        tier__buf_printf(&t->out, ",\"chain\":[");
    for (int depth = 1; depth <= STEPS_MAX && strncmp(d.cause, result_of, strlen(result_of)) == 0; depth++) {
        if (!record_of_cause(t, &d, &record[depth & 1], &label) ||
            !run_that_changed(&record[depth & 1], &d, &next))
            break;
        d = next;
        tell_step(t, &label, &d, depth);
    }
    if (t->json)
        tier__buf_u8(&t->out, ']');
    tier__buf_fini(&record[0]);
    tier__buf_fini(&record[1]);
    tier__buf_fini(&label);
}
