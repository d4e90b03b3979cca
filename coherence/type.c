/* type.c - types as run-time objects, and what their callbacks hand back. */
#include "coherence/reverse.h"
#include <dlfcn.h>
#include <link.h>

/* ---- code version: the ELF object that holds the build callback */
struct object_note {
    uintptr_t address;
    tier_digest digest;
    bool found, build_id, main;
};

static void note_build_id(struct object_note *o, const struct dl_phdr_info *info, const ElfW(Phdr) * p)
{
    const char *at = (const char *)(info->dlpi_addr + p->p_vaddr), *end = at + p->p_memsz;
    while (end - at >= (ptrdiff_t)sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *n = (const void *)at;
        const char *name = at + sizeof *n, *desc = name + ((n->n_namesz + 3) & ~3u);
        if (desc + n->n_descsz > end)
            return;
        if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            tier__digest_of(desc, n->n_descsz, &o->digest);
            o->build_id = true;
            return;
        }
        at = desc + ((n->n_descsz + 3) & ~3u);
    }
}

static int note_object(struct dl_phdr_info *info, size_t size, void *user)
{
    struct object_note *o = user;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        o->found |= p->p_type == PT_LOAD && o->address >= from && o->address < from + p->p_memsz;
    }
    if (!o->found)
        return 0;
    o->main = !info->dlpi_name || !*info->dlpi_name;
    for (int i = 0; i < info->dlpi_phnum && !o->build_id; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            note_build_id(o, info, &info->dlpi_phdr[i]);
    return 1;
}

/* The main program by the digest of its file, known by stat identity (the file that runs, even when its path
 * leads to a newer one); a shared object by its build id, which is of the code that is loaded; without one by
 * its file. */
static int code_version(tier_cache *c, uintptr_t address, tier_digest *out)
{
    struct object_note o = {.address = address};
    Dl_info info;
    int rc;
    dl_iterate_phdr(note_object, &o);
    if (o.found && !o.main && o.build_id) {
        *out = o.digest;
        return 0;
    }
    const char *file = "/proc/self/exe";
    if (o.found && !o.main && dladdr((void *)address, &info) && info.dli_fname)
        file = info.dli_fname;
    struct tier__path *p = tier__path_of(c, file, &rc);
    rc = p ? tier__path_digest(c, p, out) : rc;
    if (rc && o.build_id) {
        *out = o.digest;
        rc = 0;
    }
    return rc;
}

static int type_identity(tier_cache *c, tier_type *t)
{
    struct tier__hasher h;
    tier_digest code;
    union {
        int (*build)(tier_session *, const tier_query *, tier_out *, void *);
        uintptr_t address;
    } u = {.build = t->def.build};
    memset(&code, 0, sizeof code);
    if (!c->app_version && code_version(c, u.address, &code)) {
        /* nothing says what code this is: a value nobody else has, so that nothing is shared with another
         * process */
        int64_t now[3] = {tier__now_ms(), (int64_t)tier__monotonic_us(), (int64_t)(intptr_t)t};
        tier__digest_of(now, sizeof now, &code);
        tier__log(&c->base, TIER_LOG_WARNING,
                  "type %s: its ELF object cannot be read; set app_version to share results", t->name);
    }
    tier__hash_begin(&h, "tierkit type");
    tier__hash_u64(&h, TIER__SCHEMA);
    tier__hash_str(&h, c->app);
    tier__hash_str(&h, c->app_version);
    tier__hash_digest(&h, &code);
    tier__hash_u64(&h, t->def.tier);
    tier__hash_str(&h, t->name);
    tier__hash_u64(&h, t->def.version);
    tier__hash_u64(&h, t->def.flags & TIER_PATH_FREE);
    tier__hash_field(&h, t->def.config_size ? t->def.config : "", t->def.config_size);
    tier__hash_end(&h, &t->identity);
    return 0;
}

static const char *def_trouble(const tier_type_def *d)
{
    if (d->struct_size < sizeof *d)
        return "struct_size: use TIER_INIT(tier_type_def)";
    if (!d->name || !*d->name)
        return "name is empty";
    if (d->tier != TIER_TREE && d->tier != TIER_DELTA)
        return "tier must be TIER_TREE or TIER_DELTA";
    if (!d->build)
        return "build is NULL";
    if (d->flags & ~(uint32_t)(TIER_PATH_FREE | TIER_EXCLUSIVE))
        return "flags: unknown bit";
    if (d->save && !d->load)
        return "save without load";
    if (d->config_size && !d->config)
        return "config is NULL and config_size is not 0";
    return NULL;
}

/* Under one identity there is one answer. Where another definition has it that computes otherwise, says in
 * what; NULL: there is none, or it is the same again. With c->graph held. */
static const char *clash(const tier_cache *c, const tier_type *t)
{
    const tier_type_def *d = &t->def;
    for (const tier_type *u = c->types; u; u = u->next) {
        const tier_type_def *has = &u->def;
        if (u->undefined || !tier__digest_equal(&u->identity, &t->identity))
            continue;
        if (has->build != d->build)
            return "build";
        if (has->load != d->load || has->save != d->save || has->destroy != d->destroy ||
            has->fingerprint != d->fingerprint)
            return "load, save, destroy or fingerprint";
        if (has->flags != d->flags)
            return "flags";
        if (has->user != d->user)
            return "user";
    }
    return NULL;
}

/* Mostly the first try; 0: all are in use. With c->graph held. */
static uint16_t owner_number(const tier_cache *c)
{
    uint16_t number = c->types ? c->types->owner : 0;
    for (uint32_t tries = 0; tries < TIER__OWNER_MAX; tries++) {
        number = number == TIER__OWNER_MAX ? 1 : (uint16_t)(number + 1);
        const tier_type *t = c->types;
        while (t && t->owner != number)
            t = t->next;
        if (!t)
            return number;
    }
    return 0;
}

int tier_define(tier_cache *c, const tier_type_def *def, const tier_type **type)
{
    if (!c || c->magic != TIER__CACHE_MAGIC || !def || !type)
        return TIER_EINVAL;
    *type = NULL;
    const char *trouble = def_trouble(def);
    if (trouble) {
        tier__log(&c->base, TIER_LOG_ERROR, "tier_define %s: %s", def->name ? def->name : "", trouble);
        return TIER_EINVAL;
    }
    tier_type *t = tier__zalloc(&c->base, 1, sizeof *t);
    if (!t)
        return TIER_ENOMEM;
    t->magic = TIER__TYPE_MAGIC;
    t->cache = c;
    t->def = *def;
    t->name = tier__strdup(&c->base, def->name);
    t->def.name = t->name;
    t->def.config = tier__memdup0(&c->base, def->config ? def->config : "", def->config_size);
    if (!t->name || !t->def.config || type_identity(c, t)) {
        tier__type_free(t);
        return TIER_ENOMEM;
    }
    pthread_mutex_lock(&c->graph);
    const char *other = clash(c, t);
    t->owner = other ? 0 : owner_number(c);
    if (!t->owner) {
        pthread_mutex_unlock(&c->graph);
        if (other)
            tier__log(&c->base, TIER_LOG_ERROR,
                      "tier_define %s: a type of this name, version and config is defined already, with "
                      "another %s: both would share one answer; give it a name of its own",
                      t->name, other);
        tier__type_free(t);
        return other ? TIER_EINVAL : TIER_ENOMEM;
    }
    t->index = c->type_count++;
    t->next = c->types;
    c->types = t;
    pthread_mutex_unlock(&c->graph);
    *type = t;
    return 0;
}

void tier__type_free(tier_type *t)
{
    struct tier__base *b = &t->cache->base;
    t->magic = 0;
    tier__free(b, (void *)t->def.config);
    tier__free(b, t->name);
    tier__free(b, t);
}

bool tier__type_hold(tier_cache *c, const tier__node *n)
{
    pthread_mutex_lock(&c->graph);
    bool defined = n->type && !n->type->undefined;
    if (defined)
        atomic_fetch_add(&((tier_type *)n->type)->running, 1);
    pthread_mutex_unlock(&c->graph);
    return defined;
}

void tier__type_let_go(const tier__node *n)
{
    atomic_fetch_sub(&((tier_type *)n->type)->running, 1);
}

int tier_undefine(tier_cache *c, const tier_type *type)
{
    if (!c || c->magic != TIER__CACHE_MAGIC || !type || type->magic != TIER__TYPE_MAGIC || type->cache != c)
        return TIER_EINVAL;
    tier_type *t = (tier_type *)type;
    pthread_mutex_lock(&c->graph);
    bool runs = atomic_load(&t->running) != 0;
    t->undefined = !runs;
    pthread_mutex_unlock(&c->graph);
    if (!runs)
        tier__pending_flush(c, true); /* what waits holds the type's values and refers to its requests */
    if (runs || tier__memory_drop_owner(c->memory, t->owner)) {
        tier__log(&c->base, TIER_LOG_ERROR, "tier_undefine %s: %s", t->name,
                  runs ? "a request of it is being computed" : "values of it are lent");
        pthread_mutex_lock(&c->graph);
        t->undefined = false;
        pthread_mutex_unlock(&c->graph);
        return TIER_EBUSY;
    }
    pthread_mutex_lock(&c->graph);
    atomic_fetch_add(&c->recall_epoch, 1);
    for (tier_type **at = &c->types; *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            break;
        }
    for (size_t i = 0; i < c->nodes.bucket_count; i++)
        for (tier__node *n = c->nodes.bucket[i]; n; n = n->chain)
            if (n->type == t) {
                struct tier__dep *d = tier__chunks_at(&c->dep_by_id, n->dep);
                if (!d->request)
                    d->request = tier__request_of(c, n);
                tier__reverse_note(c, n);
                d->node = NULL;
                n->type = NULL;
            }
    pthread_mutex_unlock(&c->graph);
    tier__type_free(t);
    return 0;
}

/* ---- what callbacks hand back */
void tier__out_init(tier_out *out, tier_cache *c, const tier_type *type)
{
    memset(out, 0, sizeof *out);
    out->cache = c;
    out->type = type;
    tier__buf_init(&out->bytes, &c->base);
}

void tier__out_fini(tier_out *out)
{
    if (out->has_object && out->type->def.destroy)
        out->type->def.destroy(out->object, out->type->def.user);
    for (uint32_t i = 0; i < out->hold_count; i++)
        tier__entry_unref(out->hold[i]);
    tier__free(&out->cache->base, out->hold);
    tier__buf_fini(&out->bytes);
    memset(out, 0, sizeof *out);
}

int tier_out_object(tier_out *out, void *object, size_t bytes)
{
    if (!out || !object)
        return TIER_EINVAL;
    if (out->has_object) { /* the second one is refused, and ours all the same */
        if (out->type->def.destroy && object != out->object)
            out->type->def.destroy(object, out->type->def.user);
        return out->error = TIER_EINVAL;
    }
    out->has_object = true;
    out->object = object;
    out->object_bytes = bytes;
    return 0;
}

int tier_out_bytes(tier_out *out, const void *data, size_t size)
{
    if (!out || (size && !data))
        return TIER_EINVAL;
    out->has_bytes = true;
    tier__buf_put(&out->bytes, size ? data : "", size);
    return out->bytes.failed ? (out->error = TIER_ENOMEM) : 0;
}

int tier_out_record(tier_out *out, const void *data, size_t size)
{
    if (!out || (size && !data) || size > UINT32_MAX)
        return TIER_EINVAL;
    out->has_bytes = true;
    tier__record_put(&out->bytes, size ? data : "", size);
    return out->bytes.failed ? (out->error = TIER_ENOMEM) : 0;
}

int tier_out_hold(tier_out *out, const tier_value *v)
{
    if (!out || !v || !v->pin)
        return TIER_EINVAL;
    tier__entry **grown = tier__resize(&out->cache->base, out->hold, (out->hold_count + 1) * sizeof *grown);
    if (!grown)
        return out->error = TIER_ENOMEM;
    out->hold = grown;
    out->hold[out->hold_count++] = tier__entry_ref(((tier__loan *)v->pin)->entry);
    return 0;
}

int tier_next(const tier_value *v, size_t *cursor, const void **data, size_t *size)
{
    if (!v || !cursor || !data || !size)
        return TIER_EINVAL;
    if (!v->data || *cursor >= v->size)
        return TIER_END;
    struct tier__reader r = tier__reader_of((const char *)v->data + *cursor, v->size - *cursor);
    *data = tier__read_bytes(&r, size);
    uint8_t zero = tier__read_u8(&r);
    if (r.failed || zero)
        return TIER_EDAMAGE;
    *cursor = (size_t)((const char *)r.at - (const char *)v->data);
    return 0;
}

tier__entry *tier__out_entry(tier_out *out, int tier)
{
    bool bytes = out->has_bytes || !out->has_object;
    if (out->error)
        return NULL;
    tier__entry *e = tier__entry_new(out->cache->memory, tier, bytes ? out->bytes.size : SIZE_MAX);
    if (!e)
        return NULL;
    if (bytes && out->bytes.size)
        memcpy(e->data, out->bytes.data, out->bytes.size);
    if (out->has_object) {
        const tier_type_def *def = &out->type->def;
        if (tier__entry_give(e, out->object, out->object_bytes, def->destroy, def->user)) {
            tier__entry_unref(e);
            return NULL;
        }
        if (def->flags & TIER_EXCLUSIVE)
            tier__entry_mark(e, TIER__EXCLUSIVE);
        out->has_object = false;
    }
    tier__entry_set_owner(e, out->type->owner);
    for (uint32_t i = 0; i < out->hold_count; i++)
        if (tier__entry_hold(e, out->hold[i])) {
            tier__entry_unref(e);
            return NULL;
        }
    return e;
}
