/* memo.c FILE MILLISECONDS AMOUNT... - remembered functions: arguments -> result, and one whose answer is
 * good for a time only, as a server's would be. */
/* run: /dev/null 60000 7 8 7 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tierkit.h>

struct shop {
    const tier_type *rate, *price;
    const char *file; /* stands for a server: it is read behind the session's back */
    long expires_ms;
    unsigned rates, prices; /* builds; one thread */
};

/* No path, no arguments: one result. What it depends on cannot be looked at cheaply, so it says how long its
 * answer is good for; until then nobody asks the server. */
static int build_rate(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct shop *shop = user;
    unsigned rate = 1;
    FILE *f = fopen(shop->file, "r");
    (void)q;
    shop->rates++;
    if (f && fscanf(f, "%u", &rate) != 1)
        rate = 1;
    if (f)
        fclose(f);
    else
        return tier_fail(s, TIER_ETRANSIENT, "the server does not answer"); /* never remembered */
    int rc = tier_expires(s, shop->expires_ms);
    return rc ? rc : tier_out_bytes(out, &rate, sizeof rate);
}

/* Arguments are any bytes; they are all that tells one request from another, so no padding and no pointers.
 * Past the rate's time the rate alone is computed again: where it is what it was, prices stay. */
static int build_price(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct shop *shop = user;
    unsigned amount, price;
    tier_value rate;
    int rc = tier_get(s, &(tier_query){.type = shop->rate}, &rate);
    shop->prices++;
    if (rc || q->args_size != sizeof amount)
        return rc ? rc
                  : tier_fail(s, TIER_EBUILD, "an amount is one unsigned"); /* remembered, with its text */
    memcpy(&amount, q->args, sizeof amount);
    price = amount * *(const unsigned *)rate.data;
    return tier_out_bytes(out, &price, sizeof price);
}

static int look(tier_cache *cache, struct shop *shop, unsigned amount)
{
    tier_session *s = NULL;
    tier_value v;
    int rc = tier_begin(cache, NULL, &s);
    rc =
        rc ? rc
           : tier_get(s, &(tier_query){.type = shop->price, .args = &amount, .args_size = sizeof amount}, &v);
    if (rc)
        printf("%u: %s: %s\n", amount, tier_strerror(rc), tier_detail(s));
    else
        printf("%u: %u\n", amount, *(const unsigned *)v.data);
    tier_end(&s);
    return rc;
}

int main(int argc, char **argv)
{
    struct shop shop = {.file = argc > 3 ? argv[1] : NULL, .expires_ms = argc > 3 ? atol(argv[2]) : 0};
    const tier_options o = {
        .struct_size = sizeof o, .app = "memo", .flags = getenv("NO_CACHE") ? TIER_NO_MEMORY : 0};
    tier_type_def rate = {
        .struct_size = sizeof rate, .name = "rate", .tier = TIER_DELTA, .build = build_rate};
    tier_type_def price = {
        .struct_size = sizeof price, .name = "price", .tier = TIER_DELTA, .build = build_price};
    tier_cache *cache = NULL;
    rate.user = price.user = &shop;
    if (!shop.file || tier_open(&o, &cache))
        return fprintf(stderr, "usage: memo FILE MILLISECONDS AMOUNT...\n"), 2;
    int rc = tier_define(cache, &rate, &shop.rate);
    rc = rc ? rc : tier_define(cache, &price, &shop.price);
    for (int i = 3; !rc && i < argc; i++)
        rc = look(cache, &shop, (unsigned)atol(argv[i]));
    fprintf(stderr, "built %u rates, %u prices\n", shop.rates, shop.prices);
    return tier_close(&cache) || rc;
}
