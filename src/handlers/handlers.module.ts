import { Module, type DynamicModule } from '@nestjs/common';
import type { TaskHandlerClass } from '../jobs/task-handler.js';

/** The handlers of the service's operator, loaded at the boot; TaskTypes finds them among the providers. */
@Module({})
export class HandlersModule {
  static of(classes: readonly TaskHandlerClass[]): DynamicModule {
    return { module: HandlersModule, providers: [...classes] };
  }
}
