import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AuthenticatedGuard } from './authenticated.guard.js';
import { HttpToolsModule } from '../http/http-tools.module.js';
import { CLOCK, type Clock } from './clock.js';
import { CredentialsService } from './credentials.service.js';
import { CredentialsStore } from './credentials.store.js';
import { PasswordVerifier } from './passwords.js';
import { RememberedCallers } from './remembered-callers.js';
import { RequestRateGuard } from './request-rate.guard.js';
import { SessionController } from './session.controller.js';
import { SessionsService } from './sessions.service.js';
import { SessionsStore } from './sessions.store.js';
import { registerStrategies } from './strategies.js';
import { Throttle } from './throttle.js';

/** Puts the guards before every route of the app: first who asks, then whether it asks too often. */
@Module({
  imports: [HttpToolsModule],
  controllers: [SessionController],
  providers: [
    SessionsStore,
    SessionsService,
    CredentialsStore,
    CredentialsService,
    RememberedCallers,
    Throttle,
    { provide: PasswordVerifier, useFactory: () => PasswordVerifier.create() },
    { provide: CLOCK, useValue: performance satisfies Clock },
    { provide: APP_GUARD, useClass: AuthenticatedGuard },
    { provide: APP_GUARD, useClass: RequestRateGuard },
  ],
  exports: [RememberedCallers],
})
export class AuthModule {
  constructor() {
    registerStrategies();
  }
}
