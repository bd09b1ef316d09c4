// A provider of OpenID Connect for tests: whoever comes signs in as the person named by LOGIN, and consents.
//
//   node oidc_provider.mjs MODULES PORT REDIRECT_URI LOGIN VERIFIED
//
// MODULES is the folder in which npm has installed oidc-provider. Prints "ready" when it listens; ends with its input.
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [modules, port, redirectUri, login, verified] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(join(modules, "oidc-provider", "lib", "index.js")));

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "medilink", client_secret: "a secret of the test", redirect_uris: [redirectUri] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  cookies: { keys: ["test"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/sign-in/${interaction.uid}` },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: verified === "verified" }),
  }),
  async loadExistingGrant(ctx) {
    const { client, session, provider } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid email");
    await grant.save();
    return grant;
  },
});
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/sign-in/")) return next();
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: login } });
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
process.stdin.on("end", () => process.exit()).resume();
