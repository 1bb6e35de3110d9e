# Tally in a container. `docker build .` makes the service; `docker build --target studio .` makes Prisma Studio beside it.
# `npm run check:container` takes the same steps without Docker: it knows the instructions used here, and no others.

FROM node:24-trixie-slim AS base
WORKDIR /app

# Everything, also what only a build needs. No package needs its install script: what they bring is prebuilt.
FROM base AS dependencies
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts

FROM dependencies AS build
COPY nest-cli.json prisma.config.ts tsconfig.json tsconfig.build.json ./
COPY prisma prisma
COPY src src
COPY dashboard dashboard
RUN npm run build

# What the service needs while it runs. Without the optional packages there is neither the embedded Postgres (60 MB: the
# database is outside) nor the command line of Prisma, an optional peer of its client (250 MB, which --omit=dev leaves
# in). One optional package is needed: the prebuilt half of argon2.
FROM base AS production
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts
COPY --from=dependencies /app/node_modules/@node-rs node_modules/@node-rs

# The browser of the database's tables. Who reaches its port can read and write everything: see docker-compose.yml.
FROM build AS studio
COPY scripts/studio.ts scripts/port-bridge.ts scripts/
ENV HOME=/tmp
USER node
EXPOSE 5555
CMD ["node", "--import", "tsx", "scripts/studio.ts", "--all-addresses"]

FROM base AS service
COPY --from=production /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY prisma/migrations prisma/migrations
COPY package.json ./
# Mount ES modules with task handlers of your own here.
RUN mkdir /handlers
# Nothing is written outside the database, so the root file system may be read-only.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 HANDLERS=/handlers
# The files stay root's: the service cannot change itself.
USER node
EXPOSE 3000
# A worker answers too. During its start a process may wait a minute for the database.
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Without a shell or npm in between, SIGTERM reaches the service, which then drains.
CMD ["node", "dist/main.js"]
